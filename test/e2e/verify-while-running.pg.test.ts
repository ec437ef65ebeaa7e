/** `verify` and `refresh` against a gateway that another process runs while the source changes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { createRandomWorkload, workloadTables } from '../support/random-workload.ts'
import { resourceFile, runSluice, startSluice } from '../support/sluice-process.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

/** Resolves when the command has exited with `code`, trying again until it does. */
async function untilExit(
  code: number,
  work: () => Promise<{ exitCode: number | null }>,
): Promise<void> {
  while ((await work()).exitCode !== code);
}

test(`verify proves equality at one moment while both sides go on (SLUICE_SEED=${seed})`, async () => {
  const server = await startEmbeddedPostgres({
    settings: { fsync: 'off', synchronous_commit: 'off' },
  })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-verify-'))
  const options = { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } }
  const sessions = [await server.connect(), await server.connect()]
  const workload = createRandomWorkload({ seed, sessions, bulkRows: 2000 })
  await workload.createTables()
  await workload.run(500)
  await writeFile(
    join(folder, 'r.yml'),
    resourceFile({ port: server.port, user: server.user, schema: 'public' }),
  )
  const running = startSluice(['run', 'r.yml', '--data', 'data'], options)
  const stop = { now: false }
  const writing = (async () => {
    while (!stop.now) {
      await workload.run(50)
      // Slower than the slowest machine that follows it.
      await pause(100)
    }
    await workload.finish()
  })()
  try {
    await untilExit(0, async () => {
      const status = await runSluice(['status', '--data', 'data', '--output', 'json'], options)
      return {
        exitCode: status.stdout.match(/"version":/g)?.length === workloadTables.length ? 0 : 1,
      }
    })
    const verified = await runSluice(['verify', '--data', 'data'], options)
    expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
    expect(verified.stdout).toContain(`${workloadTables.length} tables equal`)

    const refreshed = await runSluice(['refresh', 'copy.hot', '--full', '--data', 'data'], options)
    expect(refreshed.exitCode, refreshed.stdout + refreshed.stderr).toBe(0)
    const again = await runSluice(['verify', '--data', 'data'], options)
    expect(again.exitCode, again.stdout + again.stderr).toBe(0)

    stop.now = true
    await writing
    running.kill('SIGTERM')
    const ended = await running.finished
    expect(ended.exitCode, ended.stdout + ended.stderr).toBe(0)
  } finally {
    // When something failed, these two are still at work.
    stop.now = true
    running.kill('SIGKILL')
    await Promise.allSettled([writing, running.finished])
    for (const client of sessions) await client.end()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
})

test('verify names the keys that differ and exits with 1', async () => {
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-verify-'))
  const options = { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } }
  try {
    await server.sql(`CREATE TABLE t (a text, b int, v float8, PRIMARY KEY (b, a));
      INSERT INTO t SELECT 'key ' || g, g, g / 3.0 FROM generate_series(1, 1000) g`)
    await writeFile(
      join(folder, 'r.yml'),
      resourceFile({ port: server.port, user: server.user, schema: 'public' }),
    )
    const run = await runSluice(['run', 'r.yml', '--once', '--data', 'data'], options)
    expect(run.exitCode, run.stdout + run.stderr).toBe(0)
    const storage = createLocalStorage(join(folder, 'data/lake/main/copy/t'))
    const table = openDeltaTable({ storage, root: '' })
    const before = await table.snapshot()
    const [file] = before?.files.values() ?? []
    if (before === undefined || file === undefined) throw new Error('nothing was loaded')
    // Two rows vanish from the destination behind the pipeline's back.
    const [vector] = await table.writeDeletionVectors([new BigUint64Array([0n, 998n])])
    if (vector === undefined) throw new Error('no vector')
    const { path, size, partitionValues } = file
    await table.commit(before, [
      { remove: { path, size, partitionValues, dataChange: true, deletionTimestamp: 0 } },
      { add: { ...file, dataChange: true, deletionVector: vector } },
    ])
    const unequal = await runSluice(['verify', '--data', 'data'], options)
    expect(unequal.exitCode, unequal.stdout + unequal.stderr).toBe(1)
    expect(unequal.stdout).toContain('2 missing, 0 too many, 0 different')
    expect(unequal.stdout).toContain('missing in destination: b=1, a=key 1')
    expect(unequal.stdout).toContain('missing in destination: b=999, a=key 999')
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
