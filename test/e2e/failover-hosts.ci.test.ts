/**
 * One process that knows both servers follows the primary over by itself: first one that is dead,
 * then one that nobody can reach any more and that still takes itself for the primary.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startProxy } from '../../src/source/postgres/testing/proxy.ts'
import { readLog } from '../support/read-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { postgresVersion, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { resourceFile, runSluice, startSluice } from '../support/sluice-process.ts'
import { startStandby } from '../support/standby.ts'

/** Slots are kept over a failover from this version on. */
const version = Math.max(postgresVersion, 17)

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

async function copiesBegun(folder: string): Promise<number> {
  const storage = createLocalStorage(join(folder, 'data', 'volumes', 'main', 'staging', 'db'))
  const manifests = (await readLog(storage)).manifests
  return manifests.flatMap(({ entries }) =>
    entries.filter(({ kind }) => kind === 'snapshot_started'),
  ).length
}

/** Nothing is written and no connection closed in order when this process is killed. */
async function postmasterOf({ folder }: { readonly folder: string }): Promise<number> {
  const [pid] = (await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).split('\n')
  return Number(pid)
}

test.each(['was killed', 'cannot be reached'])(
  'a primary that %s is left for its heir',
  async (fate) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-hosts-'))
    ends.push(async () => await rm(folder, { recursive: true, force: true }))
    const primary = await startEmbeddedPostgres({ version })
    ends.push(async () => await primary.stop())
    await primary.sql(
      'create table public.kept (id int primary key, v text); insert into kept select n, n::text from generate_series(1, 1000) n',
    )
    const settings = { sync_replication_slots: 'on' }
    const standby = await startStandby(primary, { name: 'heir', version, settings })
    ends.push(async () => await standby.stop())
    const proxy = await startProxy(primary)
    ends.push(async () => await proxy.close())
    const hosts = `host: "127.0.0.1,127.0.0.1", port: "${proxy.port},${standby.port}", connect_timeout: 1, stall_timeout: 1,`
    const one = `host: 127.0.0.1, port: "${primary.port}",`
    const text = resourceFile({ port: primary.port, user: primary.user, schema: 'public' })
    expect(text).toContain(one)
    await writeFile(
      join(folder, 'resources.yml'),
      text.replace(one, () => hosts),
    )
    const env = { SLUICE_TEST_PASSWORD: primary.password }
    const place = { cwd: folder, env }
    const run = startSluice(['run', 'resources.yml', '--data', 'data'], place)
    ends.push(async () => {
      run.kill('SIGKILL')
      await run.finished
    })
    const countIs = async (rows: number): Promise<void> => {
      for (;;) {
        const query = ['query', 'select count(*) as n from main.copy.kept', '--data', 'data']
        const { stdout } = await runSluice([...query, '--output', 'json'], place)
        if (stdout.includes(`"n":${rows}`) || stdout.includes(`"n":"${rows}"`)) return
      }
    }
    await countIs(1000)
    const synced = `select from pg_replication_slots where slot_type = 'logical' and synced and not temporary`
    let id = 2000
    while ((await standby.sql(synced)).length === 0) {
      await primary.sql(
        `insert into kept values (${id++}, 'before'); select pg_log_standby_snapshot()`,
      )
      await primary.sql('select pg_sleep(0.2)')
    }
    await countIs(1000 + id - 2000)
    const copies = await copiesBegun(folder)
    await standby.catchUp()
    if (fate === 'was killed') process.kill(await postmasterOf(primary), 'SIGKILL')
    else proxy.stallAll()
    await standby.promote()
    await standby.sql("insert into kept select n, 'after' from generate_series(5001, 5100) n")
    await countIs(1000 + id - 2000 + 100)
    run.kill('SIGTERM')
    expect((await run.finished).exitCode).toBe(0)
    const verify = await runSluice(['verify', '--data', 'data'], place)
    expect(verify.exitCode, `${verify.stdout}\n${verify.stderr}`).toBe(0)
    expect(await copiesBegun(folder)).toBe(copies)
  },
)
