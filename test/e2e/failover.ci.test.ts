/**
 * A primary dies under a random workload, its standby is promoted, and the copy goes on from there:
 * no table is copied anew, and the destination equals the promoted server.
 */
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
import { readLog } from '../support/read-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts'
import { createRandomWorkload } from '../support/random-workload.ts'
import { resourceFile, runSluice, startSluice } from '../support/sluice-process.ts'
import { type Standby, startStandby } from '../support/standby.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

/** Slots are kept over a failover from this version on. */
const version = Math.max(postgresVersion, 17)

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

interface Pair {
  readonly primary: EmbeddedPostgres
  readonly standby: Standby
}

async function startPair(prepare: (primary: EmbeddedPostgres) => Promise<void>): Promise<Pair> {
  const primary = await startEmbeddedPostgres({ version })
  ends.push(async () => await primary.stop())
  await prepare(primary)
  const settings = { sync_replication_slots: 'on' }
  const standby = await startStandby(primary, { name: 'standby1', version, settings })
  ends.push(async () => await standby.stop())
  return { primary, standby }
}

/** The standby keeps its copy of a slot only once the slot was read further; `read` sees to that. */
async function untilSynced(pair: Pair, read: () => Promise<unknown>): Promise<void> {
  const { primary, standby } = pair
  const sql = `select from pg_replication_slots where slot_type = 'logical' and synced and not temporary`
  while ((await standby.sql(sql)).length === 0) {
    await read()
    await primary.sql('select pg_log_standby_snapshot(), pg_sleep(0.2)')
  }
}

async function copiesBegun(folder: string): Promise<number> {
  const storage = createLocalStorage(join(folder, 'data', 'volumes', 'main', 'staging', 'db'))
  const manifests = (await readLog(storage)).manifests
  return manifests.flatMap(({ entries }) =>
    entries.filter(({ kind }) => kind === 'snapshot_started'),
  ).length
}

test(`trap: a copy goes on after its server's failover (SLUICE_SEED=${seed})`, async () => {
  console.log(`failover: SLUICE_SEED=${seed}, PostgreSQL ${version}`)
  const folder = await mkdtemp(join(tmpdir(), 'sluice-failover-'))
  ends.push(async () => await rm(folder, { recursive: true, force: true }))
  let sessions: pg.Client[] = []
  const connect = async (server: EmbeddedPostgres): Promise<pg.Client[]> => {
    for (const client of sessions) await client.end().catch(() => undefined)
    sessions = await Promise.all([server.connect(), server.connect(), server.connect()])
    return sessions
  }
  ends.push(async () => await Promise.allSettled(sessions.map((client) => client.end())))
  const pair = await startPair(async (server) => {
    const setup = createRandomWorkload({ seed, bulkRows: 100, sessions: await connect(server) })
    await setup.createTables()
    await setup.finish()
  })
  const { primary, standby } = pair
  const workload = createRandomWorkload({ seed, bulkRows: 2000, sessions: await connect(primary) })
  await primary.sql("alter system set synchronized_standby_slots = 'standby1'")
  await primary.sql('select pg_reload_conf()')
  await workload.run(300)
  const env = { SLUICE_TEST_PASSWORD: primary.password }
  const file = join(folder, 'resources.yml')
  const writeFileFor = async ({ port, user }: EmbeddedPostgres): Promise<void> =>
    await writeFile(file, resourceFile({ port, user, schema: 'public' }))
  await writeFileFor(primary)
  const first = startSluice(['run', file, '--data', 'data'], { cwd: folder, env })
  ends.push(async () => {
    first.kill('SIGKILL')
    await first.finished
  })
  await untilSynced(pair, async () => await workload.run(5))
  await workload.run(300)
  await workload.runBulk()
  // The primary dies in the middle of transactions; nobody waits for what it did last.
  const writing = workload.run(1_000_000).catch(() => undefined)
  await primary.sql('select pg_sleep(1)')
  await primary.crash()
  await writing
  const copies = await copiesBegun(folder)
  await standby.promote()
  workload.reconnect(await connect(standby))
  await workload.run(300)
  first.kill('SIGTERM')
  await first.finished
  await writeFileFor(standby)
  const again = await runSluice(['run', file, '--once', '--data', 'data'], { cwd: folder, env })
  expect(again.exitCode, `${again.stdout}\n${again.stderr}`).toBe(0)
  await workload.run(300)
  await workload.finish()
  const last = await runSluice(['run', file, '--once', '--data', 'data'], { cwd: folder, env })
  expect(last.exitCode, `${last.stdout}\n${last.stderr}`).toBe(0)
  const verify = await runSluice(['verify', '--data', 'data'], { cwd: folder, env })
  expect(verify.exitCode, `${verify.stdout}\n${verify.stderr}`).toBe(0)
  expect(copies).toBeGreaterThan(0)
  expect(await copiesBegun(folder)).toBe(copies)
})

test('trap: data beyond the place where the promoted server left the old timeline', async () => {
  const pair = await startPair(async (primary) => {
    await primary.sql('create table ahead (id int primary key)')
  })
  const { primary, standby } = pair
  const source = sourceOf(primary, { name: 'ahead' })
  const tables = [await tableNamed(source, 'ahead')]
  const state = await source.prepare(tables, undefined)
  const stream = startStream({ source, state, tables })
  await primary.sql('insert into ahead values (1)')
  let shared = state.position
  await untilSynced(pair, async () => {
    shared = await source.currentPosition()
    await stream.reach(shared)
    source.acknowledge(shared)
  })
  await standby.catchUp()
  await standby.shutdown()
  // Without synchronized_standby_slots the server sends what no standby has.
  await primary.sql('insert into ahead values (2)')
  const ahead = await source.currentPosition()
  await stream.reach(ahead)
  await primary.crash()
  await stream.ended.catch(() => undefined)
  await source.close()
  await standby.start()
  await standby.promote()
  const promoted = sourceOf(standby, { name: 'ahead' })
  ends.push(async () => await promoted.close())
  await expect(promoted.prepare(tables, { ...state, position: ahead })).rejects.toMatchObject({
    code: 'SOURCE_INCARNATION_CHANGED',
    message: expect.stringMatching(/left timeline 1 at 0\/.* our data ends at 0\//) as string,
  })
  const prepared = await promoted.prepare(tables, { ...state, position: shared })
  expect(prepared.branchedAt).toBeDefined()
  await standby.sql('insert into ahead values (3)')
  const next = startStream({ source: promoted, state: prepared, tables })
  await next.reach(await promoted.currentPosition())
  expect(next.sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual([
    '3',
  ])
  await next.stop()
})

test('trap: a slot waits for a standby that is gone, and that does not look like "no changes"', async () => {
  const { primary, standby } = await startPair(async (server) => {
    await server.sql('create table stalled (id int primary key)')
  })
  const source = sourceOf(primary, { name: 'stalled' })
  ends.push(async () => await source.close())
  const tables = [await tableNamed(source, 'stalled')]
  const state = await source.prepare(tables, undefined)
  expect((await source.health()).stall).toBeUndefined()
  await primary.sql("alter system set synchronized_standby_slots = 'standby1'")
  await primary.sql('select pg_reload_conf()')
  const stream = startStream({ source, state, tables })
  await primary.sql('insert into stalled values (1)')
  await stream.reach(await source.currentPosition())
  await standby.shutdown()
  await primary.sql('insert into stalled values (2)')
  const inactive = `select from pg_replication_slots where slot_name = 'standby1' and not active`
  while ((await primary.sql(inactive)).length === 0);
  expect((await source.health()).stall).toMatchObject({
    code: 'SOURCE_STANDBY_STALL',
    message: expect.stringContaining('"standby1" is read by no standby') as string,
  })
  const findings = await source.check(undefined)
  expect(findings.filter(({ severity }) => severity === 'error')).toMatchObject([
    { code: 'SOURCE_STANDBY_STALL', subject: 'failover' },
  ])
  expect(stream.sink.transactions).toHaveLength(1)
  await standby.start()
  await stream.reach(await source.currentPosition())
  expect(stream.sink.transactions).toHaveLength(2)
  expect((await source.health()).stall).toBeUndefined()
  await stream.stop()
})
