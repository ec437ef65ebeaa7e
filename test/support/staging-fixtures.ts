/** Staging volumes for tests: an encoder that needs no columns, drafts, random manifests. */
import fc from 'fast-check'
import { noFailpoints } from '../../src/base/failpoint.ts'
import type { ColumnBatch } from '../../src/columnar/column-batch.ts'
import type { ParquetEncoder } from '../../src/columnar/parquet-encoder.ts'
import { silentLog } from '../../src/observe/log.ts'
import type { TableId } from '../../src/source/table-schema.ts'
import { changeFilePath, snapshotFilePath } from '../../src/staging/layout.ts'
import type { LogBase } from '../../src/staging/log-base.ts'
import type { Manifest, ManifestEntry, StagedFile } from '../../src/staging/manifest.ts'
import type { LogSink } from '../../src/staging/read-log.ts'
import { type LogContent, readLog } from './read-log.ts'
import {
  type ManifestDraft,
  openStagingLog,
  type StagingLog,
  type StagingLogOptions,
} from '../../src/staging/staging-log.ts'
import { StagingLogWriter } from '../../src/staging/staging-log-writer.ts'
import { createStagingReader } from '../../src/staging/staging-reader.ts'
import type { ObjectStorage } from '../../src/storage/object-storage.ts'

export const tableId = (text: string): TableId => text as TableId

/** Row groups and footer are the text of the row count: enough where nobody reads the file. */
export function createTextEncoder(): ParquetEncoder {
  let rowCount = 0
  return {
    async encodeRowGroup(batch) {
      rowCount += batch.rowCount
      return [Buffer.from(`rows ${batch.rowCount}\n`)]
    },
    finish: () => ({
      bytes: Buffer.from(`end ${rowCount}\n`),
      statistics: { rowCount, columns: [] },
    }),
  }
}

export const batchOf = (rowCount: number): ColumnBatch => ({ columns: [], rowCount, byteLength: 0 })

let writers = 0

/** A log that also knows what was read when it was opened, and what it published since. */
export interface TestLog extends StagingLog {
  readonly base: LogBase
  readonly manifests: readonly Manifest[]
}

export async function openTestLog(
  storage: ObjectStorage,
  options: Partial<StagingLogOptions> = {},
): Promise<TestLog> {
  const log = await openStagingLog({
    storage,
    writer: `writer-${writers++}`,
    createEncoder: createTextEncoder,
    clock: { nowMs: () => 1_700_000_000_000 },
    log: silentLog,
    failpoints: noFailpoints,
    ...options,
  })
  const content = await readSurely(storage)
  // Others may have taken it over since.
  const claim = content.manifests.findIndex(({ epoch }) => epoch === log.epoch)
  const manifests = content.manifests.slice(0, claim + 1)
  return Object.assign(log, {
    base: content.base,
    manifests,
    publish: async (draft: ManifestDraft) => {
      const manifest = await StagingLogWriter.prototype.publish.call(log as StagingLogWriter, draft)
      manifests.push(manifest)
      return manifest
    },
  })
}

/** Over a storage that fails now and then too. */
async function readSurely(storage: ObjectStorage): Promise<LogContent> {
  for (let failures = 0; ; failures++) {
    try {
      return await readLog(storage)
    } catch (error) {
      if (failures > 100) throw error
    }
  }
}

export function tell<S extends LogSink>(sink: S, base: LogBase, manifests: readonly Manifest[]): S {
  sink.begin(base)
  for (const manifest of manifests) sink.take(manifest)
  return sink
}

/** A reader that keeps what counts of all that it was told. */
export interface CollectingReader {
  refresh(): Promise<readonly Manifest[]>
  firstCommit(): number
  base(): LogBase
}

export function collectingReader(storage: ObjectStorage): CollectingReader {
  const reader = createStagingReader({ storage })
  let manifests: Manifest[] = []
  const begin = (): void => {
    manifests = []
  }
  return {
    async refresh() {
      await reader.refresh({ begin, take: (manifest) => manifests.push(manifest) })
      return manifests.filter(({ commit }) => commit >= reader.base().first)
    },
    firstCommit: () => reader.base().first,
    base: () => reader.base(),
  }
}

export const draftOf = (entries: readonly ManifestEntry[], position = 'p'): ManifestDraft => ({
  incarnation: 'i',
  position_before: position,
  position_after: position,
  entries,
})

/** Writes a change file of `rows` rows and returns the entry that names it. */
export async function stageChanges(
  log: StagingLog,
  table: string,
  sequence: number,
  rows = 3,
): Promise<ManifestEntry> {
  const path = changeFilePath({
    tableId: table,
    firstSequence: BigInt(sequence),
    epoch: log.epoch,
    number: 0,
  })
  const writer = await log.openDataFile(path, [])
  await writer.write(batchOf(rows))
  return changesEntry(table, sequence, await writer.close())
}

export const changesEntry = (table: string, sequence: number, file: StagedFile): ManifestEntry => ({
  kind: 'changes',
  table_id: table,
  snapshot_id: 0,
  schema_version: 0,
  file,
  inserts: file.rows,
  updates: 0,
  deletes: 0,
  has_absent: false,
  min_sequence: String(sequence),
  max_sequence: String(sequence),
})

export async function pathsOf(storage: ObjectStorage, prefix = ''): Promise<string[]> {
  const paths: string[] = []
  for await (const info of storage.list(prefix)) paths.push(info.path)
  return paths
}

const count = fc.maxSafeNat()
const anyText = fc.string({ unit: 'binary', maxLength: 20 })
const tableIds = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,12}$/)
const sequence = fc.bigInt(0n, 2n ** 63n - 1n).map(String)
const instant = fc.bigInt(-(2n ** 62n), 2n ** 62n).map(String)

const statistics = fc.record({
  rowCount: count,
  columns: fc.array(
    fc.record(
      { name: anyText, nullCount: count, min: anyText, max: anyText },
      { requiredKeys: ['name', 'nullCount'] },
    ),
    { maxLength: 3 },
  ),
})

const fileAt = (path: string): fc.Arbitrary<StagedFile> =>
  fc.record(
    {
      path: fc.constant(path),
      rows: count,
      bytes: count,
      crc32: fc.integer({ min: 0, max: 0xffffffff }),
      statistics,
    },
    { requiredKeys: ['path', 'rows', 'bytes', 'crc32'] },
  ) as fc.Arbitrary<StagedFile>

const chunkFile = (table: string): fc.Arbitrary<StagedFile> =>
  fc
    .record({ snapshotId: count, chunk: count, epoch: count })
    .chain((name) => fileAt(snapshotFilePath({ tableId: table, ...name })))

const changeFile = (table: string): fc.Arbitrary<StagedFile> =>
  fc
    .record({ firstSequence: fc.bigInt(0n, 2n ** 63n - 1n), epoch: count, number: count })
    .chain((name) => fileAt(changeFilePath({ tableId: table, ...name })))

const entriesOf = (table: string): fc.Arbitrary<ManifestEntry> => {
  const head = { table_id: fc.constant(table), snapshot_id: count }
  return fc.oneof(
    fc.record(
      {
        kind: fc.constant('table' as const),
        table_id: fc.constant(table),
        source_catalog: anyText,
        source_schema: anyText,
        source_table: anyText,
        schema_version: count,
      },
      { requiredKeys: ['kind', 'table_id', 'source_schema', 'source_table', 'schema_version'] },
    ),
    fc.record(
      {
        kind: fc.constant('snapshot_started' as const),
        ...head,
        schema_version: count,
        point: anyText,
        chunk_count: count,
        taken_at_us: instant,
      },
      {
        requiredKeys: ['kind', 'table_id', 'snapshot_id', 'schema_version', 'point', 'chunk_count'],
      },
    ),
    fc.record({
      kind: fc.constant('snapshot_chunk' as const),
      ...head,
      schema_version: count,
      chunk: count,
      files: fc.array(chunkFile(table), { maxLength: 3 }),
    }),
    fc.record(
      {
        kind: fc.constant('snapshot_chunk' as const),
        ...head,
        schema_version: count,
        chunk: count,
        files: fc.array(chunkFile(table), { maxLength: 3 }),
        range: anyText,
        resumption: count,
        refresh: fc.constant(true as const),
      },
      { requiredKeys: ['kind', 'table_id', 'snapshot_id', 'schema_version', 'chunk', 'files'] },
    ),
    fc.record({
      kind: fc.constant('snapshot_resumed' as const),
      ...head,
      resumption: count,
      point: anyText,
      first_chunk: count,
      chunk_count: count,
    }),
    fc.record({ kind: fc.constant('snapshot_finished' as const), ...head, rows: count }),
    fc.record({
      kind: fc.constant('changes' as const),
      ...head,
      schema_version: count,
      file: changeFile(table),
      inserts: count,
      updates: count,
      deletes: count,
      has_absent: fc.boolean(),
      min_sequence: sequence,
      max_sequence: sequence,
    }),
    fc.record(
      {
        kind: fc.constant('truncate' as const),
        ...head,
        sequence,
        ordinal: count,
        resumption: count,
        commit_time_us: instant,
      },
      { requiredKeys: ['kind', 'table_id', 'snapshot_id', 'sequence', 'ordinal'] },
    ),
    fc.record(
      {
        kind: fc.constant('gap' as const),
        table_id: fc.constant(table),
        reason: anyText,
        full_refresh: fc.constant(true as const),
      },
      { requiredKeys: ['kind', 'table_id', 'reason'] },
    ),
  ) as fc.Arbitrary<ManifestEntry>
}

/** Every shape a manifest may have. */
export const manifests: fc.Arbitrary<Manifest> = fc.record(
  {
    format: fc.constant(1 as const),
    commit: count,
    epoch: count,
    writer: anyText,
    created_at_ms: count,
    incarnation: anyText,
    position_before: anyText,
    position_after: anyText,
    first_sequence: sequence,
    last_sequence: sequence,
    min_commit_time_us: instant,
    max_commit_time_us: instant,
    barrier: fc.constant(true as const),
    entries: fc.array(tableIds.chain(entriesOf), { maxLength: 5 }),
  },
  {
    requiredKeys: [
      'format',
      'commit',
      'epoch',
      'writer',
      'created_at_ms',
      'incarnation',
      'position_before',
      'position_after',
      'entries',
    ],
  },
) as fc.Arbitrary<Manifest>

export interface StoppingStorage extends ObjectStorage {
  /** Writes and removals that were let through. */
  readonly steps: number
}

/**
 * Lets `limit` writes and removals through and then behaves as to a process that is no more: every
 * later call of any kind fails. An open writer that is never closed leaves nothing.
 */
export function stopAfter(inner: ObjectStorage, limit: number): StoppingStorage {
  let steps = 0
  let isStopped = false
  const alive = (): void => {
    if (isStopped) throw new Error('stopped')
  }
  const step = (): void => {
    if (steps >= limit) isStopped = true
    alive()
    steps++
  }
  const reading = async <T>(work: () => Promise<T>): Promise<T> => {
    alive()
    return work()
  }
  const writing = async <T>(work: () => Promise<T>): Promise<T> => {
    step()
    return work()
  }
  return {
    get steps() {
      return steps
    },
    url: inner.url,
    read: (path) => reading(() => inner.read(path)),
    readRange: (path, start, end) => reading(() => inner.readRange(path, start, end)),
    stat: (path) => reading(() => inner.stat(path)),
    write: (path, bytes) => writing(() => inner.write(path, bytes)),
    writeIfAbsent: (path, bytes) => writing(() => inner.writeIfAbsent(path, bytes)),
    linkFrom: (source, from, path) => writing(() => inner.linkFrom(source, from, path)),
    delete: (path) => writing(() => inner.delete(path)),
    async openWriter(path) {
      alive()
      const writer = await inner.openWriter(path)
      return {
        write: (bytes) => reading(() => writer.write(bytes)),
        close: () => writing(() => writer.close()),
        abort: () => writer.abort(),
      }
    },
    list(prefix, startAfter) {
      alive()
      return inner.list(prefix, startAfter)
    },
    localPath: (path) => inner.localPath(path),
  }
}
