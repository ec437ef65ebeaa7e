/** A copy that reads from a standby only: made, kept and verified there, while the primary works. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import {
  sourceOf,
  startStream,
  tableNamed,
} from '../../src/source/postgres/testing/postgres-fixture.ts'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts'
import { createRandomWorkload } from '../support/random-workload.ts'
import { resourceFile, runSluice } from '../support/sluice-process.ts'
import { type Standby, startStandby } from '../support/standby.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

/** Standbys decode their log from this version on. */
const version = Math.max(postgresVersion, 16)

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

interface Pair {
  readonly primary: EmbeddedPostgres
  readonly standby: Standby
}

async function startPair(settings: Record<string, string> = {}): Promise<Pair> {
  const primary = await startEmbeddedPostgres({ version })
  ends.push(async () => await primary.stop())
  const standby = await startStandby(primary, { name: 'reader', version, settings })
  ends.push(async () => await standby.stop())
  return { primary, standby }
}

/** While `work` runs, the primary tells the standby all the time which transactions run. */
async function telling<T>(primary: EmbeddedPostgres, work: Promise<T>): Promise<T> {
  let isOver = false
  const over = work.finally(() => (isOver = true))
  over.catch(() => undefined)
  while (!isOver) await primary.sql('select pg_log_standby_snapshot(), pg_sleep(0.1)')
  return await over
}

test(`a standby is copied exactly while its primary works (SLUICE_SEED=${seed})`, async () => {
  console.log(`standby: SLUICE_SEED=${seed}, PostgreSQL ${version}`)
  const folder = await mkdtemp(join(tmpdir(), 'sluice-standby-'))
  ends.push(async () => await rm(folder, { recursive: true, force: true }))
  const { primary, standby } = await startPair()
  const sessions: pg.Client[] = []
  for (let n = 0; n < 3; n++) sessions.push(await primary.connect())
  ends.push(async () => await Promise.allSettled(sessions.map((client) => client.end())))
  const workload = createRandomWorkload({ seed, bulkRows: 500, sessions })
  await workload.createTables()
  await workload.run(200)
  await standby.catchUp()
  const env = { SLUICE_TEST_PASSWORD: primary.password }
  const file = join(folder, 'resources.yml')
  const { port, user } = standby
  await writeFile(file, resourceFile({ port, user, schema: 'public' }))
  const once = ['run', file, '--once', '--data', 'data']
  const refused = await runSluice(once, { cwd: folder, env })
  expect(refused.exitCode, `${refused.stdout}\n${refused.stderr}`).toBe(1)
  // It says what to run on the primary.
  const statement = /CREATE PUBLICATION [^;]*;/.exec(refused.stdout + refused.stderr)?.[0] ?? ''
  const name = /PUBLICATION ("?[^ ]+"?)/.exec(statement)?.[1] ?? ''
  await primary.sql(`create publication ${name} for tables in schema public`)
  await standby.catchUp()
  const copying = runSluice(once, { cwd: folder, env })
  const stop = { asked: false }
  const writing = (async (): Promise<void> => {
    while (!stop.asked) await workload.run(20)
  })()
  const first = await telling(primary, copying).finally(() => (stop.asked = true))
  await writing
  expect(first.exitCode, `${first.stdout}\n${first.stderr}`).toBe(0)
  await workload.finish()
  await standby.catchUp()
  const again = await telling(primary, runSluice(once, { cwd: folder, env }))
  expect(again.exitCode, `${again.stdout}\n${again.stderr}`).toBe(0)
  const verifying = runSluice(['verify', '--data', 'data'], { cwd: folder, env })
  const verify = await telling(primary, verifying)
  expect(verify.exitCode, `${verify.stdout}\n${verify.stderr}`).toBe(0)
})

test('trap: a snapshot of a standby does not list the transactions that run', async () => {
  const { primary, standby } = await startPair()
  await primary.sql('create table s (id int primary key); create publication s for table s')
  await standby.catchUp()
  const source = sourceOf(standby, { name: 's' })
  ends.push(async () => await source.close())
  const table = await tableNamed(source, 's')
  await telling(primary, source.prepare([table], undefined))
  const older = await primary.connect()
  await older.query('begin; insert into s values (1)')
  const [row] = await older
    .query<{ id: string }>('select pg_current_xact_id()::text as id')
    .then(({ rows }) => rows)
  // Ends after it: now a snapshot takes the older one for visible, if it counts by ids.
  await primary.sql('insert into s values (2)')
  await standby.catchUp()
  const [shown] = await standby.sql('select pg_current_snapshot()::text as snapshot')
  expect(String(shown?.['snapshot'])).toMatch(/^\d+:\d+:$/)
  const beginning = source.beginSnapshot(table, { delivered: [] })
  await older.query('insert into s values (3)')
  const commits = (async (): Promise<void> => {
    const making = `select from pg_replication_slots where temporary`
    while ((await standby.sql(making)).length === 0);
    await older.query('commit')
    await older.end()
  })()
  const copy = await telling(primary, beginning)
  await commits
  const point = source.parseSnapshotPoint(copy.point)
  const writer = { tag: Number(row?.id), commitTimeUs: 0n }
  // By its place in the log alone.
  expect(point.covers({ ...writer, place: 0n })).toBe(true)
  expect(point.covers({ ...writer, place: 2n ** 60n })).toBe(false)
  expect(point.covers(writer)).toBe(false)
  await copy.close()
})

test('trap: check says what a standby lacks, and a slot whose rows are gone is lost with its own reason', async () => {
  const { primary, standby } = await startPair({ hot_standby_feedback: 'off' })
  await primary.sql('create table r (id int primary key); create publication r for table r')
  await standby.catchUp()
  const source = sourceOf(standby, { name: 'r' })
  ends.push(async () => await source.close())
  const table = await tableNamed(source, 'r')
  const findings = await source.check(undefined)
  expect(findings.filter(({ severity }) => severity === 'error')).toEqual([])
  expect(findings.map(({ code }) => code)).toContain('SOURCE_STANDBY_UNPREPARED')
  const state = await telling(primary, source.prepare([table], undefined))
  // Catalog rows that the slot needs go away on the primary.
  const lost = `select from pg_replication_slots where slot_name = 'r' and (to_jsonb(pg_replication_slots) ->> 'conflicting')::boolean`
  do {
    await primary.sql('create table gone (id int); drop table gone')
    await primary.sql('vacuum pg_class, pg_attribute, pg_type, pg_depend')
    await standby.catchUp()
  } while ((await standby.sql(lost)).length === 0)
  await expect(source.prepare([table], state)).rejects.toMatchObject({
    code: 'SOURCE_LOG_LOST',
    message: expect.stringContaining(version < 17 ? 'conflicting' : 'rows_removed') as string,
    remedy: expect.stringContaining('hot_standby_feedback') as string,
  })
})

test.each([[true], [false]])(
  'trap: a standby was promoted while it was read, and nobody noticed (acknowledged: %s)',
  async (isAcknowledged) => {
    const { primary, standby } = await startPair()
    await primary.sql('create table p (id int primary key); create publication p for table p')
    await standby.catchUp()
    const source = sourceOf(standby, { name: 'p' })
    const tables = [await tableNamed(source, 'p')]
    const state = await telling(primary, source.prepare(tables, undefined))
    const stream = startStream({ source, state, tables })
    await primary.sql('insert into p values (1)')
    await stream.until(() => stream.sink.transactions.length === 1)
    await primary.crash()
    await standby.promote()
    await standby.sql('insert into p values (2)')
    await stream.until(() => stream.sink.transactions.length === 2)
    await standby.sql('insert into p values (3)')
    await stream.until(() => stream.sink.transactions.length === 3)
    if (isAcknowledged) source.acknowledge(stream.reached)
    await stream.stop()
    await source.close()
    const next = sourceOf(standby, { name: 'p' })
    ends.push(async () => await next.close())
    const prepared = await next.prepare(tables, { ...state, position: stream.reached })
    expect(prepared.incarnation).not.toBe(state.incarnation)
    await standby.sql('insert into p values (4)')
    const rest = startStream({ source: next, state: prepared, tables })
    await rest.reach(await next.currentPosition())
    expect(rest.sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(
      ['4'],
    )
    await rest.stop()
  },
)

test('the session with a standby that is promoted ends, so that its timeline is put on record', async () => {
  const { primary, standby } = await startPair()
  await primary.sql('create table n (id int primary key); create publication n for table n')
  await standby.catchUp()
  const source = sourceOf(standby, { name: 'n', watchIntervalMs: 50 })
  ends.push(async () => await source.close())
  const tables = [await tableNamed(source, 'n')]
  const state = await telling(primary, source.prepare(tables, undefined))
  const stream = startStream({ source, state, tables })
  await primary.sql('insert into n values (1)')
  await stream.until(() => stream.sink.transactions.length === 1)
  await primary.crash()
  await standby.promote()
  await expect(stream.ended).rejects.toMatchObject({ code: 'SOURCE_CONNECTION_LOST' })
  const { reached } = stream
  const prepared = await source.prepare(tables, { ...state, position: reached })
  expect(prepared.incarnation).not.toBe(state.incarnation)
  await standby.sql('insert into n values (2)')
  const rest = startStream({ source, state: prepared, tables })
  await rest.reach(await source.currentPosition())
  expect(rest.sink.transactions).toHaveLength(1)
  await rest.stop()
})
