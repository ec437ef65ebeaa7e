/**
 * Apply: N random-key changes (10 % deletes) to a table of 50 N rows of 12 columns in 16 files, from
 * staged files to the visible Delta version. The limit is one semi-join of the keys by the engine.
 * Then small updates: ten tables, a few hundred changes each, as in continuous mode.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { CanonicalType } from '../src/columnar/canonical-type.ts'
import { openDeltaTable } from '../src/delta/open-delta-table.ts'
import { openEngine, type Engine } from '../src/engine/duckdb.ts'
import { quoteText, quoteTextList } from '../src/engine/quote.ts'
import { changeFilePath, snapshotFilePath } from '../src/staging/layout.ts'
import type { ManifestEntry, StagedFile } from '../src/staging/manifest.ts'
import { openPlace, pipelineOver, type Place } from '../test/support/pipeline-fixtures.ts'
import { schemaOf } from '../test/support/staged-source.ts'
import type { Bench, BenchOptions, Measurement } from './support/measure.ts'

const decimal = (precision: number, scale: number): CanonicalType => ({
  kind: 'decimal',
  precision,
  scale,
})
const schema = schemaOf(
  {
    id: { kind: 'int64' },
    a: { kind: 'int32' },
    b: { kind: 'int32' },
    price: decimal(12, 2),
    rate: decimal(18, 6),
    s1: { kind: 'string' },
    s2: { kind: 'string' },
    s3: { kind: 'string' },
    s4: { kind: 'string' },
    made: { kind: 'timestamp_ntz' },
    seen: { kind: 'timestamp_ntz' },
    flag: { kind: 'boolean' },
  },
  ['id'],
)
const signal = new AbortController().signal

/** Cells of the row whose key is the expression `k`. */
const cellsSql = (k: string): string => `
  (hash(${k}) >> 1)::BIGINT AS id, (${k} % 1000)::INTEGER AS a, (${k} % 77)::INTEGER AS b,
  ((${k} % 100000) / 100)::DECIMAL(12,2) AS price,
  CASE WHEN ${k} % 3 = 0 THEN NULL ELSE (${k} % 100000)::DECIMAL(18,6) END AS rate,
  md5(${k}::VARCHAR)[:20] AS s1, 'name ' || (${k} % 5000) AS s2, 'street ' || (${k} % 90000) AS s3,
  CASE WHEN ${k} % 2 = 0 THEN NULL ELSE md5((${k} + 1)::VARCHAR)[:20] END AS s4,
  TIMESTAMP '2024-01-01' + to_seconds(${k} % 9000000) AS made,
  CASE WHEN ${k} % 5 = 0 THEN NULL ELSE TIMESTAMP '2024-01-01' + to_seconds(${k} % 70000) END AS seen,
  ${k} % 2 = 1 AS flag`

async function stage(
  engine: Engine,
  place: Place,
  path: string,
  select: string,
): Promise<StagedFile> {
  const local = place.staging.localPath(path) ?? ''
  mkdirSync(dirname(local), { recursive: true })
  const [written] = await engine.rows(
    `COPY (${select}) TO ${quoteText(local)} (FORMAT parquet, COMPRESSION zstd, RETURN_STATS)`,
  )
  const bytes = await readFile(local)
  return { path, rows: Number(written?.['count']), bytes: bytes.length, crc32: crc32(bytes) }
}

async function stageTable(engine: Engine, place: Place, id: string, rows: number): Promise<void> {
  const chunkCount = 16
  const head = { table_id: id, snapshot_id: 0 }
  const entries: ManifestEntry[] = [
    await place.source.table(id, `t${id}`, schema),
    { kind: 'snapshot_started', ...head, schema_version: 0, point: '0', chunk_count: chunkCount },
  ]
  const step = Math.ceil(rows / chunkCount)
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const path = snapshotFilePath({ tableId: id, snapshotId: 0, chunk, epoch: 1 })
    const range = `range(${chunk * step}, ${Math.min(rows, (chunk + 1) * step)}) r(k)`
    const file = await stage(engine, place, path, `SELECT ${cellsSql('k')} FROM ${range}`)
    entries.push({ kind: 'snapshot_chunk', ...head, schema_version: 0, chunk, files: [file] })
  }
  entries.push({ kind: 'snapshot_finished', ...head, rows })
  await place.source.publish(entries)
}

async function stageChanges(
  engine: Engine,
  place: Place,
  change: {
    readonly id: string
    readonly rows: number
    readonly count: number
    readonly sequence: number
  },
): Promise<ManifestEntry> {
  const { id, rows, count, sequence } = change
  const path = changeFilePath({ tableId: id, firstSequence: BigInt(sequence), epoch: 1, number: 0 })
  const file = await stage(
    engine,
    place,
    path,
    `SELECT ${cellsSql('k')}, CASE WHEN i % 10 = 0 THEN 'd' ELSE 'u' END AS _op, ${sequence}::BIGINT AS _seq,
       i::INTEGER AS _ord, now() AS _commit_ts
     FROM (SELECT i, (hash(i + ${sequence * count}) % ${rows})::BIGINT AS k FROM range(${count}) r(i))`,
  )
  return {
    kind: 'changes',
    table_id: id,
    snapshot_id: 0,
    schema_version: 0,
    file,
    inserts: 0,
    updates: count,
    deletes: 0,
    has_absent: false,
    min_sequence: String(sequence),
    max_sequence: String(sequence),
  }
}

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Bytes the last version of the table added: data files and vectors. */
async function addedBytes(place: Place, root: string): Promise<number> {
  const snapshot = await openDeltaTable({ storage: place.lake, root }).snapshot()
  const newest = Math.max(
    ...[...(snapshot?.files.values() ?? [])].map((file) => file.modificationTime),
  )
  let bytes = 0
  for (const file of snapshot?.files.values() ?? []) {
    if (file.modificationTime === newest) bytes += file.size
    bytes += file.deletionVector?.sizeInBytes ?? 0
  }
  return bytes
}

async function largeUpdate(
  engine: Engine,
  place: Place,
  { rows = 100_000, rounds = 3, say }: BenchOptions,
): Promise<Measurement> {
  const tableRows = rows * 50
  await stageTable(engine, place, '1', tableRows)
  const pipeline = pipelineOver(place, engine)
  say(
    `load of ${tableRows} rows: ${(await seconds(() => pipeline.update({ signal }))).toFixed(2)} s`,
  )
  const files: string[] = []
  for await (const { path } of place.lake.list('main/shop/t1/part-')) {
    files.push(place.lake.localPath(path) ?? '')
  }
  const own: number[] = []
  const limits: number[] = []
  for (let round = 1; round <= Math.min(rounds, 4); round++) {
    const entry = await stageChanges(engine, place, {
      id: '1',
      rows: tableRows,
      count: rows,
      sequence: round,
    })
    await place.source.publish([entry])
    const staged = entry.kind === 'changes' ? (place.staging.localPath(entry.file.path) ?? '') : ''
    limits.push(
      await seconds(() =>
        engine.columns(`SELECT count(*) FROM read_parquet(${quoteTextList(files.map(plain))}, hive_partitioning = false)
          SEMI JOIN (SELECT id FROM read_parquet(${quoteText(plain(staged))})) USING (id)`),
      ),
    )
    const cpu = process.cpuUsage()
    own.push(await seconds(() => pipeline.update({ signal })))
    const { user, system } = process.cpuUsage(cpu)
    const written = await addedBytes(place, 'main/shop/t1')
    say(
      `${rows} changes: ${own.at(-1)?.toFixed(3)} s, ${((user + system) / 1e6).toFixed(2)} CPU-s, ${(written / 1e6).toFixed(1)} MB with all vectors`,
    )
  }
  return {
    name: `apply ${rows} changes into ${tableRows} rows`,
    value: rows / median(own),
    unit: 'changes/s',
    limit: rows / median(limits),
    limitName: 'one semi-join',
  }
}

const plain = (path: string): string => path.replace(/[[*?]/g, (character) => `[${character}]`)

async function smallUpdates(
  engine: Engine,
  place: Place,
  { rounds = 3, say }: BenchOptions,
): Promise<Measurement> {
  const ids = Array.from({ length: 10 }, (_, n) => String(n + 10))
  for (const id of ids) await stageTable(engine, place, id, 100_000)
  const pipeline = pipelineOver(place, engine)
  await pipeline.update({ signal })
  const times: number[] = []
  let cpuMs = 0
  for (let round = 1; round <= rounds * 6; round++) {
    const entries: ManifestEntry[] = []
    for (const id of ids) {
      entries.push(
        await stageChanges(engine, place, { id, rows: 100_000, count: 300, sequence: round }),
      )
    }
    await place.source.publish(entries)
    const cpu = process.cpuUsage()
    times.push(await seconds(() => pipeline.update({ signal })))
    const { user, system } = process.cpuUsage(cpu)
    cpuMs += (user + system) / 1000
  }
  const worst = Math.max(...times)
  say(
    `10 tables of 300 changes: median ${(median(times) * 100).toFixed(1)} ms a table, worst ${(worst * 100).toFixed(1)}, CPU ${(cpuMs / times.length / 10).toFixed(1)}`,
  )
  return { name: 'small updates', value: 10 / median(times), unit: 'tables/s' }
}

export const run: Bench = async (options) => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  const engine = await openEngine()
  try {
    const small = await smallUpdates(engine, await openPlace(join(folder, 'small')), options)
    const large = await largeUpdate(engine, await openPlace(join(folder, 'large')), options)
    return [large, small]
  } finally {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  }
}

export const benchApply = run
