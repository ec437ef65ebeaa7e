/** A source and gateway made of plain maps: stages real files and knows what the tables must hold. */
import { createParquetEncoder } from '../../src/columnar/parquet/create-encoder.ts'
import type { CanonicalType } from '../../src/columnar/canonical-type.ts'
import type { ParquetColumn } from '../../src/columnar/parquet-encoder.ts'
import type { TableSchema } from '../../src/source/table-schema.ts'
import { changeFilePath, snapshotFilePath } from '../../src/staging/layout.ts'
import type {
  ChangesEntry,
  Manifest,
  ManifestEntry,
  StagedFile,
} from '../../src/staging/manifest.ts'
import type { StagingLog, StagingLogOptions } from '../../src/staging/staging-log.ts'
import type { ObjectStorage } from '../../src/storage/object-storage.ts'
import { absent, batchOf, type Cell, Unfit } from './cells.ts'
import { openTestLog, tableId } from './staging-fixtures.ts'

export interface StagedChange {
  readonly op: 'r' | 'i' | 'u' | 'd'
  readonly sequence: number
  readonly ordinal: number
  readonly cells: readonly Cell[]
}

/** As docs/staging-format.md has it; the writers of the gateway are not used here. */
const unfitColumn: ParquetColumn = {
  name: '_unfit',
  type: { kind: 'array', element: { kind: 'string' } },
}

function unfitOf(row: readonly Cell[]): Cell {
  const cells = row.flatMap((cell, at) => (cell instanceof Unfit ? [`${at}:${cell.text}`] : []))
  return cells.length === 0 ? null : cells
}

export const schemaOf = (
  columns: Readonly<Record<string, CanonicalType>>,
  key: readonly string[],
): TableSchema => ({
  columns: Object.entries(columns).map(([name, type]) => ({
    name,
    type,
    sourceType: type.kind,
    nullable: !key.includes(name),
  })),
  key,
})

export class StagedSource {
  readonly log: StagingLog
  readonly storage: ObjectStorage
  commitTimeUs = 1_700_000_000_000_000n
  #files = 0

  private constructor(log: StagingLog, storage: ObjectStorage) {
    this.log = log
    this.storage = storage
  }

  static async open(
    storage: ObjectStorage,
    options: Pick<StagingLogOptions, 'checkpointCommits'> = {},
  ): Promise<StagedSource> {
    const log = await openTestLog(storage, {
      ...options,
      createEncoder: (columns) => createParquetEncoder(columns),
    })
    return new StagedSource(log, storage)
  }

  async publish(entries: readonly ManifestEntry[], barrier = false): Promise<Manifest> {
    this.commitTimeUs += 1_000_000n
    return this.log.publish({
      incarnation: 'i',
      position_before: 'p',
      position_after: `p${this.commitTimeUs}`,
      min_commit_time_us: String(this.commitTimeUs - 5n),
      max_commit_time_us: String(this.commitTimeUs),
      ...(barrier ? { barrier: true as const } : {}),
      entries,
    })
  }

  async table(id: string, name: string, schema: TableSchema, version = 0): Promise<ManifestEntry> {
    await this.log.writeSchema(tableId(id), version, schema)
    return {
      kind: 'table',
      table_id: id,
      source_schema: 'public',
      source_table: name,
      schema_version: version,
    }
  }

  /** started, chunks and finished, in this order; one file per chunk. */
  async snapshot(
    id: string,
    schema: TableSchema,
    chunks: readonly (readonly (readonly Cell[])[])[],
    {
      snapshotId = 0,
      version = 0,
    }: { readonly snapshotId?: number; readonly version?: number } = {},
  ): Promise<ManifestEntry[]> {
    const head = { table_id: id, snapshot_id: snapshotId }
    const entries: ManifestEntry[] = [
      {
        kind: 'snapshot_started',
        ...head,
        schema_version: version,
        point: `point ${snapshotId} of ${id}`,
        chunk_count: chunks.length,
      },
    ]
    for (const [chunk, rows] of chunks.entries()) {
      const path = snapshotFilePath({ tableId: id, snapshotId, chunk, epoch: this.log.epoch })
      const file = await this.#write(path, schema.columns, rows)
      entries.push({
        kind: 'snapshot_chunk',
        ...head,
        schema_version: version,
        chunk,
        files: [file],
      })
    }
    const rows = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    entries.push({ kind: 'snapshot_finished', ...head, rows })
    return entries
  }

  async changes(
    id: string,
    schema: TableSchema,
    changes: readonly StagedChange[],
    {
      snapshotId = 0,
      version = 0,
    }: { readonly snapshotId?: number; readonly version?: number } = {},
  ): Promise<ChangesEntry> {
    const hasAbsent = changes.some(({ cells }) => cells.includes(absent))
    const columns: ParquetColumn[] = [
      ...schema.columns,
      { name: '_op', type: { kind: 'string' } },
      { name: '_seq', type: { kind: 'int64' } },
      { name: '_ord', type: { kind: 'int32' } },
      { name: '_commit_ts', type: { kind: 'timestamp' } },
    ]
    if (hasAbsent)
      columns.push({ name: '_absent', type: { kind: 'array', element: { kind: 'int32' } } })
    const rows = changes.map(({ op, sequence, ordinal, cells }): Cell[] => {
      const left = cells.flatMap((cell, index) => (cell === absent ? [index] : []))
      const row: Cell[] = [...cells, op, BigInt(sequence), ordinal, this.commitTimeUs]
      if (hasAbsent) row.push(left.length === 0 ? null : left)
      return row
    })
    const sequences = changes.map(({ sequence }) => sequence)
    const path = changeFilePath({
      tableId: id,
      firstSequence: BigInt(Math.min(...sequences)),
      epoch: this.log.epoch,
      number: this.#files++,
    })
    const count = (op: string): number => changes.filter((change) => change.op === op).length
    return {
      kind: 'changes',
      table_id: id,
      snapshot_id: snapshotId,
      schema_version: version,
      file: await this.#write(path, columns, rows),
      inserts: count('i') + count('r'),
      updates: count('u'),
      deletes: count('d'),
      has_absent: hasAbsent,
      min_sequence: String(Math.min(...sequences)),
      max_sequence: String(Math.max(...sequences)),
    }
  }

  async #write(
    path: string,
    columns: readonly ParquetColumn[],
    rows: readonly (readonly Cell[])[],
  ): Promise<StagedFile> {
    const plain = columns.length
    const hasUnfit = rows.some((row) => row.some((cell) => cell instanceof Unfit))
    const all = hasUnfit ? [...columns, unfitColumn] : columns
    const writer = await this.log.openDataFile(path, all)
    const half = Math.ceil(rows.length / 2)
    for (const part of [rows.slice(0, half), rows.slice(half)]) {
      await writer.write(
        batchOf(
          all.map(({ name, type }, column) => ({
            name,
            type,
            cells: part.map((row) => (column < plain ? (row[column] ?? null) : unfitOf(row))),
          })),
        ),
      )
    }
    return writer.close()
  }
}
