/**
 * A copy that is killed in the middle, again and again, goes on from what is staged, while rows
 * wander through the table. What came of it is told for a test to judge.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Manifest, ManifestEntry } from '../../src/staging/manifest.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { createRandom } from '../support/random.ts'
import { runSluice, startSluice, type Finished } from '../support/sluice-process.ts'
import { fillWanderingTable, WanderingRows, wanderingTable } from '../support/wandering-rows.ts'

export interface KilledCopiesOptions {
  readonly seed: number
  readonly rows: number
  /** Failpoints, one per life. */
  readonly kills: readonly string[]
  /** Of the gateway while it is killed, and for its last life. */
  readonly settings: Readonly<Record<string, string>>
  readonly lastSettings: Readonly<Record<string, string>>
  readonly scdType?: string
}

export interface KilledCopiesResult {
  readonly transactions: number
  readonly verified: Finished
  /** Staged before the last life, and in all. */
  readonly before: readonly ManifestEntry[]
  readonly after: readonly ManifestEntry[]
}

export async function killedCopies(options: KilledCopiesOptions): Promise<KilledCopiesResult> {
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-killed-'))
  try {
    return await play(server, folder, options)
  } finally {
    await server.stop()
    if (process.env['SLUICE_KEEP'] === undefined) await rm(folder, { recursive: true, force: true })
  }
}

async function play(
  server: EmbeddedPostgres,
  folder: string,
  { seed, rows, kills, settings, lastSettings }: KilledCopiesOptions,
): Promise<KilledCopiesResult> {
  await server.sql(`${wanderingTable}; ${fillWanderingTable(rows)}`)
  const environment = (failpoint?: string) => ({
    cwd: folder,
    env: {
      SLUICE_TEST_PASSWORD: server.password,
      // Every second time each life begins with a checkpoint of the log.
      ...(seed % 2 === 0 ? { SLUICE_CHECKPOINT_COMMITS: '2' } : {}),
      ...(failpoint === undefined ? {} : { SLUICE_FAILPOINT: failpoint }),
    },
  })
  const sluice = async (...args: string[]): Promise<Finished> => {
    const finished = await runSluice([...args, '--data', 'data'], environment())
    if (finished.exitCode === 0) return finished
    throw new Error(`${args.join(' ')} failed: ${finished.stdout}\n${finished.stderr}`)
  }
  const work = { isDone: false }
  const writing = write(server, new WanderingRows(createRandom(seed), rows), work)
  // A statement that fails is met where it is waited for.
  writing.catch(() => undefined)
  await writeFile(join(folder, 'w.yml'), resourceFile(server, settings))
  for (const kill of kills) {
    const child = startSluice(['run', 'w.yml', '--data', 'data'], environment(kill))
    const { signal, stderr } = await child.finished
    if (signal !== 'SIGKILL') throw new Error(`it did not come to ${kill}: ${stderr}`)
  }
  const before = await stagedEntries(folder)
  await writeFile(join(folder, 'w.yml'), resourceFile(server, lastSettings))
  await sluice('run', 'w.yml', '--once')
  work.isDone = true
  const transactions = await writing
  await sluice('run', 'w.yml', '--once')
  const verified = await sluice('verify')
  return { transactions, verified, before, after: await stagedEntries(folder) }
}

/** Writes until `isDone`; rejects when a statement fails. */
async function write(
  server: EmbeddedPostgres,
  workload: WanderingRows,
  work: { readonly isDone: boolean },
): Promise<number> {
  const client = await server.connect()
  while (!work.isDone) await workload.step(client)
  await client.end()
  return workload.transactions
}

function resourceFile(
  { port }: EmbeddedPostgres,
  settings: Readonly<Record<string, string>>,
): string {
  return `resources:
  connections:
    db: {connection_type: POSTGRESQL, options: {host: 127.0.0.1, port: "${port}", user: postgres, password: "\${env.SLUICE_TEST_PASSWORD}", sslmode: disable}}
  pipelines:
    gateway:
      configuration: ${JSON.stringify(settings)}
      gateway_definition: {connection_name: db, gateway_storage_catalog: main, gateway_storage_schema: staging, gateway_storage_name: db}
    ingest:
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gateway.id}
        objects: [{schema: {source_catalog: postgres, source_schema: w, destination_catalog: main, destination_schema: w}}]
`
}

async function stagedEntries(folder: string): Promise<ManifestEntry[]> {
  const log = join(folder, 'data', 'volumes', 'main', 'staging', 'db', '_log')
  const names = (await readdir(log)).filter((name) => name.endsWith('.json')).toSorted()
  const texts = await Promise.all(
    names.map(async (name) => await readFile(join(log, name), 'utf8')),
  )
  return texts.flatMap((text) => (JSON.parse(text) as Manifest).entries)
}

export function countOf(entries: readonly ManifestEntry[], kind: ManifestEntry['kind']): number {
  return entries.filter((entry) => entry.kind === kind).length
}

/** Where the parts of the table begin that were read, not counting refreshes. */
export function partsRead(entries: readonly ManifestEntry[]): readonly string[] {
  return entries.flatMap((entry) =>
    entry.kind === 'snapshot_chunk' && entry.refresh === undefined
      ? [(entry.range ?? '').replace(/-\d*$/, '')]
      : [],
  )
}
