/**
 * Somebody drops the publication under a gateway. Servers before 18 cannot decode the place in the
 * log where it was missing, now or ever; newer ones skip what was changed there without a word. Both
 * ways the gateway has to get past that place, and nothing may be missing afterwards.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import {
  type Finished,
  resourceFile,
  runSluice,
  startSluice,
  type SluiceProcess,
} from '../support/sluice-process.ts'

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

interface World {
  readonly server: EmbeddedPostgres
  sluice(...args: readonly string[]): Promise<Finished>
  start(): SluiceProcess
  /** Resolves when the destination has rows 1 to `rows`, and no others. */
  has(rows: number): Promise<void>
  insert(id: number): Promise<void>
}

async function world(version: number): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-hole-'))
  ends.push(async () => await rm(folder, { recursive: true, force: true }))
  const server = await startEmbeddedPostgres({ version, settings: { fsync: 'off' } })
  ends.push(async () => await server.stop())
  await server.sql('create table kept (id int primary key); insert into kept values (1)')
  const { port, user } = server
  await writeFile(join(folder, 'r.yml'), resourceFile({ port, user, schema: 'public' }))
  const place = { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } }
  const sluice = async (...args: readonly string[]): Promise<Finished> =>
    await runSluice([...args, '--data', 'data'], place)
  const sql = 'select count(*)::int as n, max(id)::int as last from main.copy.kept'
  return {
    server,
    sluice,
    start: () => {
      const run = startSluice(['run', 'r.yml', '--data', 'data'], place)
      ends.push(async () => {
        run.kill('SIGKILL')
        await run.finished
      })
      return run
    },
    has: async (rows) => {
      for (;;) {
        const { stdout } = await sluice('query', sql, '--output', 'json')
        if (stdout.includes(`"n":${rows}`) && stdout.includes(`"last":${rows}`)) return
        await sleep(300)
      }
    },
    insert: async (id) => {
      await server.sql(`insert into kept values (${id})`)
    },
  }
}

/** Row 2 comes where there is no publication; `made again`: with the same tables, in one transaction. */
async function drop({ server }: World, fate: string): Promise<void> {
  const [row] = await server.sql('select pubname from pg_publication')
  const name = String(row?.['pubname'])
  const gone = `drop publication "${name}"; insert into kept values (2)`
  const again = `create publication "${name}" for table only kept`
  await server.sql(fate === 'dropped' ? gone : `begin; ${gone}; ${again}; commit`)
}

/** Nothing is missing, what comes later comes, and everything can be copied anew. */
async function expectWell(place: World, rows: number): Promise<void> {
  const verified = await place.sluice('verify')
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
  await place.insert(rows + 1)
  const once = await place.sluice('run', 'r.yml', '--once')
  expect(once.exitCode, once.stdout + once.stderr).toBe(0)
  await place.has(rows + 1)
  const refreshed = await place.sluice('refresh', '--all', '--full')
  expect(refreshed.exitCode, refreshed.stdout + refreshed.stderr).toBe(0)
  await place.has(rows + 1)
}

const cases = [15, 18].flatMap((version) =>
  ['dropped', 'made again'].map((fate) => ({ version, fate })),
)

test.each(cases)(
  'trap: on $version the publication is $fate while the gateway is stopped',
  async ({ version, fate }) => {
    const place = await world(version)
    expect((await place.sluice('run', 'r.yml', '--once')).exitCode).toBe(0)
    await drop(place, fate)
    await place.insert(3)
    const once = await place.sluice('run', 'r.yml', '--once')
    expect(once.exitCode, once.stdout + once.stderr).toBe(0)
    await place.has(3)
    await expectWell(place, 3)
  },
)

test.each(cases)(
  'trap: on $version the publication is $fate while the gateway runs',
  async ({ version, fate }) => {
    const place = await world(version)
    const run = place.start()
    await place.has(1)
    await drop(place, fate)
    await place.insert(3)
    await place.has(3)
    await place.insert(4)
    await place.has(4)
    run.kill('SIGTERM')
    expect((await run.finished).exitCode).toBe(0)
    await expectWell(place, 4)
  },
)

test('trap: a refresh of everything gets past the place too', async () => {
  const place = await world(15)
  expect((await place.sluice('run', 'r.yml', '--once')).exitCode).toBe(0)
  await drop(place, 'made again')
  const refreshed = await place.sluice('refresh', '--all', '--full')
  expect(refreshed.exitCode, refreshed.stdout + refreshed.stderr).toBe(0)
  await place.has(2)
  await expectWell(place, 2)
})
