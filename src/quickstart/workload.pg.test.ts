import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import { createShop, shopSize, shopTables, type ShopSize } from './shop-schema.ts'
import { startWorkload } from './workload.ts'

let server: EmbeddedPostgres
let size: ShopSize

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  size = await createShop(() => server.connect(), { rows: 20_000 })
})
afterAll(async () => await server.stop())

async function one(sql: string): Promise<unknown> {
  const [row] = await server.sql(sql)
  return Object.values(row ?? {})[0]
}

test('the shop has the rows it says, and a primary key everywhere', async () => {
  const tables = await server.sql(
    `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`,
  )
  expect(tables.map(({ relname }) => relname)).toEqual([...shopTables])
  const counts = await Promise.all(
    shopTables.map(async (table) => Number(await one(`SELECT count(*) FROM ${table}`))),
  )
  expect(counts.reduce((sum, count) => sum + count)).toBe(size.rows)
  expect(Math.min(...counts)).toBeGreaterThan(0)
  const keys = await one(`SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace`)
  expect(Number(keys)).toBe(shopTables.length)
})

test('the shop holds every type, NULLs, and values outside their rows', async () => {
  const types = await server.sql(`SELECT DISTINCT t.typname FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attnum > 0 AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`)
  const names = types.map(({ typname }) => typname)
  for (const wanted of [
    'bool',
    'int2',
    'int4',
    'int8',
    'float4',
    'float8',
    'numeric',
    'text',
    'varchar',
    'bpchar',
    'bytea',
    'date',
    'timestamp',
    'timestamptz',
    'uuid',
    'json',
    'jsonb',
    'customer_tier',
  ]) {
    expect(names).toContain(wanted)
  }
  const toasted = await one(
    `SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'products'`,
  )
  expect(Number(toasted)).toBeGreaterThan(0)
})

test('shopSize() comes near what was asked for, from small to large', () => {
  for (const rows of [1000, 20_000, 1_200_000, 50_000_000]) {
    expect(Math.abs(shopSize(rows).rows - rows) / rows).toBeLessThan(0.1)
  }
  expect(shopSize(1_200_000).rows).toBeGreaterThan(1_000_000)
})

test('the workload does what it counts, and stops cleanly', async () => {
  await server.sql(`SELECT pg_create_logical_replication_slot('w', 'test_decoding')`)
  const workload = startWorkload({ connect: () => server.connect(), size, changesPerSecond: 5000 })
  while (workload.counts().transactions < 1500) await Promise.race([workload.done, tick()])
  const counts = await workload.stop()
  const [decoded] = await server.sql(`SELECT
      count(*) FILTER (WHERE data LIKE 'table %') AS changes,
      count(DISTINCT xid::text) FILTER (WHERE data LIKE 'table %') AS transactions,
      count(*) FILTER (WHERE data LIKE '%DELETE:%') AS deletes,
      count(*) FILTER (WHERE data LIKE '%old-key:%') AS moved,
      count(*) FILTER (WHERE data LIKE '%unchanged-toast-datum%') AS unchanged
    FROM pg_logical_slot_get_changes('w', NULL, NULL)`)
  expect(Number(decoded?.['changes'])).toBe(counts.changes)
  expect(Number(decoded?.['transactions'])).toBeLessThanOrEqual(counts.transactions)
  for (const kind of ['deletes', 'moved', 'unchanged']) {
    expect(Number(decoded?.[kind]), kind).toBeGreaterThan(0)
  }
  expect(counts.rollbacks).toBeGreaterThan(0)
  expect(
    Number(await one(`SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'`)),
  ).toBe(0)
})

test('the workload keeps to its rate', async () => {
  const begun = performance.now()
  const workload = startWorkload({
    connect: () => server.connect(),
    size,
    changesPerSecond: 300,
    seed: 2,
  })
  while (workload.counts().changes < 300) await Promise.race([workload.done, tick()])
  const { changes } = await workload.stop()
  expect((changes * 1000) / (performance.now() - begun)).toBeLessThan(330)
})

test('a failing workload says so', async () => {
  const workload = startWorkload({
    connect: () => server.connect('no_such_database'),
    size,
    changesPerSecond: 1,
  })
  await expect(workload.done).rejects.toMatchObject({ code: '3D000' })
  await expect(workload.stop()).rejects.toMatchObject({ code: '3D000' })
})

async function tick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5))
}
