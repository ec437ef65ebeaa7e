/**
 * All kinds of destination of one source beside each other, under a random workload, while the
 * process that fills them is killed. Afterwards each is the source by its own idea of now, and the
 * history is, at the moment of every version of the plain table, that version.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { expect, test } from 'vitest'
import type { DeltaSnapshot, DeltaTable } from '../../src/delta/delta-table.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { currentRowsOf, currentRowsSql } from '../../src/destination/current-rows.ts'
import { liveRowsSql } from '../../src/destination/read-table.ts'
import { type Engine, openEngine } from '../../src/engine/duckdb.ts'
import { quoteIdentifier } from '../../src/engine/quote.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { createRandom, type Random } from '../support/random.ts'
import { createRandomWorkload, workloadTables } from '../support/random-workload.ts'
import { resourceFile, runSluice } from '../support/sluice-process.ts'
import { liveAndDie } from './fates.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)
const kills = 3

/** Beside the plain copy: its history and its changes. */
function kindsFile(server: { readonly port: number; readonly user: string }): string {
  const history = workloadTables.map(
    (table) =>
      `          - table: {source_catalog: postgres, source_schema: public, source_table: ${table}, destination_catalog: main, destination_schema: versions}\n`,
  )
  return `${resourceFile({ ...server, schema: 'public' })}
    history:
      continuous: true
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gateway.id}
        table_configuration: {scd_type: SCD_TYPE_2}
        objects:
${history.join('')}
    changes:
      continuous: true
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gateway.id}
        table_configuration: {scd_type: APPEND_ONLY}
        objects:
          - schema: {source_catalog: postgres, source_schema: public, destination_catalog: main, destination_schema: log}
`
}

/** A statement on a table without a key, of which many rows are equal. */
function looseStatement(random: Random): string {
  const [a, v] = [random.int(0, 5), random.int(0, 3)]
  const one = `ctid = (SELECT ctid FROM loose WHERE a = ${a} LIMIT 1)`
  const kind = random.int(0, 100)
  if (kind < 55)
    return `INSERT INTO loose SELECT ${a}, 'v${v}', NULLIF(${v}, 1) FROM generate_series(0, ${v})`
  if (kind < 75) return `UPDATE loose SET v = 'v${v}' WHERE ${one}`
  if (kind < 98) return `DELETE FROM loose WHERE ${one}`
  return 'TRUNCATE loose'
}

interface Told {
  readonly stagedCommit: number
  readonly clockUs: number
  readonly delta: DeltaTable
  readonly snapshot: DeltaSnapshot
}

async function versionsOf(folder: string): Promise<readonly Told[]> {
  const delta = openDeltaTable({ storage: createLocalStorage(folder), root: '' })
  const told: Told[] = []
  for (const version of await delta.versions()) {
    const snapshot = await delta.snapshot(version)
    if (snapshot === undefined) throw new Error(`${folder} has no version ${version}`)
    const progress = [...snapshot.txnVersions]
    const stagedCommit = progress.find(([id]) => !id.endsWith('/clock'))?.[1] ?? -1
    const clockUs = progress.find(([id]) => id.endsWith('/clock'))?.[1] ?? 0
    told.push({ stagedCommit, clockUs, delta, snapshot })
  }
  return told
}

async function rowsOf(
  engine: Engine,
  { delta, snapshot }: Told,
  atUs?: number,
): Promise<readonly string[]> {
  const session = await engine.openSession()
  try {
    const live = await liveRowsSql(session, delta, snapshot)
    const current = currentRowsOf(snapshot)
    const list = current.columns.map(({ name }) => quoteIdentifier(name)).join(', ')
    const then = `(SELECT ${list} FROM ${live} WHERE epoch_us(__START_AT) <= ${atUs}
      AND coalesce(epoch_us(__END_AT) > ${atUs}, true))`
    const relation = atUs === undefined ? currentRowsSql(live, current) : then
    const rows = await session.rows(`SELECT r::VARCHAR AS r FROM ${relation} r ORDER BY 1`)
    return rows.map(({ r }) => String(r))
  } finally {
    session.close()
  }
}

/** How many versions of the plain table were compared with the history. */
async function compareHistory(engine: Engine, lake: string, table: string): Promise<number> {
  const plain = await versionsOf(join(lake, 'copy', table))
  const history = await versionsOf(join(lake, 'versions', table))
  const last = history.at(-1)
  if (last === undefined) throw new Error(`${table} has no history`)
  let compared = 0
  for (const one of plain) {
    const same = history.find(({ stagedCommit }) => stagedCommit === one.stagedCommit)
    if (same === undefined) continue
    const rows = await rowsOf(engine, one)
    const what = `${table} at staged commit ${one.stagedCommit} (SLUICE_SEED=${seed})`
    expect(await rowsOf(engine, same), `open versions of ${what}`).toEqual(rows)
    expect(await rowsOf(engine, last, same.clockUs), `history of ${what}`).toEqual(rows)
    compared++
  }
  return compared
}

test(`plain, history, log and rows without a key, killed and compared (SLUICE_SEED=${seed})`, async () => {
  console.log(`kinds oracle: SLUICE_SEED=${seed}`)
  const server = await startEmbeddedPostgres({
    settings: { fsync: 'off', synchronous_commit: 'off' },
  })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-kinds-oracle-'))
  const engine = await openEngine()
  const sessions: pg.Client[] = []
  try {
    const random = createRandom(seed ^ 0x1005e)
    const file = join(folder, 'resources.yml')
    await writeFile(file, kindsFile(server))
    for (let n = 0; n < 3; n++) sessions.push(await server.connect())
    const workload = createRandomWorkload({ seed, bulkRows: 3000, sessions })
    await workload.createTables()
    await server.sql(`CREATE TABLE loose (a int, v text, n float8);
      ALTER TABLE loose REPLICA IDENTITY FULL; INSERT INTO loose VALUES (1, 'v1', '-0'), (1, 'v1', '0')`)
    await workload.run(100)
    const options = { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } }
    for (let life = 0; life < kills; life++) {
      let isOver = false
      const dying = liveAndDie(
        file,
        { afterMs: random.int(4000, 8000) },
        { ...options, hasJumpingClock: false },
      ).finally(() => {
        isOver = true
      })
      dying.catch(() => undefined)
      while (!isOver) {
        await workload.run(5)
        await server.sql(looseStatement(random))
      }
      await dying
      await workload.runBulk()
    }
    await workload.finish()
    const once = await runSluice(['run', file, '--once', '--data', 'data'], options)
    expect(once.exitCode, once.stdout + once.stderr).toBe(0)
    const verify = await runSluice(['verify', '--data', 'data'], options)
    expect(verify.exitCode, verify.stdout + verify.stderr).toBe(0)
    let compared = 0
    for (const table of workloadTables) {
      compared += await compareHistory(engine, join(folder, 'data', 'lake', 'main'), table)
    }
    console.log(
      `kinds oracle: ${workload.transactions} transactions, ${compared} versions compared`,
    )
    expect(compared).toBeGreaterThan(workloadTables.length)
  } finally {
    for (const client of sessions) await client.end().catch(() => undefined)
    await engine.close()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
