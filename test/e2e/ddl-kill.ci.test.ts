/**
 * Random changes of tables and rows while the process that copies them is killed again and again;
 * afterwards the destination equals the source, rows and columns.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openEngine } from '../../src/engine/duckdb.ts'
import { readLog } from '../support/read-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { readDestination } from '../support/ddl-world.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { createRandom } from '../support/random.ts'
import { RandomDdl } from '../support/random-ddl.ts'
import { readServerTable } from '../support/server-rows.ts'
import { resourceFile, runSluice, startSluice } from '../support/sluice-process.ts'

const seed = Number(process.env['SLUICE_DDL_SEED'] ?? Date.now() % 1_000_000)
const lives = Number(process.env['SLUICE_DDL_LIVES'] ?? 12)

test(`SLUICE_DDL_SEED=${seed}: tables and rows change, the process is killed ${lives} times`, async () => {
  const random = createRandom(seed)
  const ddl = new RandomDdl(random, 3)
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-ddl-kill-'))
  const engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  const client = await server.connect()
  try {
    const { port } = server
    await writeFile(
      join(folder, 'f.yml'),
      resourceFile({ port, user: 'postgres', schema: 'public' }),
    )
    const options = { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } }
    const args = ['run', 'f.yml', '--data', 'data', '--output', 'json']
    await client.query(ddl.create())
    for (let life = 0; life < lives; life++) {
      const running = startSluice(args, options)
      const endsAt = performance.now() + random.int(1_500, 6_000)
      while (performance.now() < endsAt) {
        await client.query(ddl.script())
        await sleep(random.int(0, 150))
      }
      running.kill('SIGKILL')
      await running.finished
      // Some changes while nobody reads.
      for (let n = random.int(0, 3); n > 0; n--) await client.query(ddl.script())
    }
    const last = await runSluice([...args, '--once'], options)
    expect(last.exitCode, last.stdout + last.stderr).toBe(0)
    const lake = createLocalStorage(join(folder, 'data', 'lake'))
    for (const name of ddl.tableNames) {
      const found = await readDestination(engine, lake, `main/copy/${name}`)
      expect({ seed, name, ...found }).toEqual({
        seed,
        name,
        ...(await readServerTable(client, name)),
      })
    }
    const verified = await runSluice(['verify', '--data', 'data'], options)
    expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
    const staging = createLocalStorage(join(folder, 'data', 'volumes', 'main', 'staging', 'db'))
    const manifests = (await readLog(staging)).manifests
    const kinds = manifests.flatMap(({ entries }) => entries.map(({ kind }) => kind))
    const steps = kinds.filter((kind) => kind === 'schema_change').length
    console.log(`seed ${seed}: ${ddl.changes} statements, ${steps} followed in place`)
    expect(steps).toBeGreaterThan(0)
  } finally {
    await client.end()
    await engine.close()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
