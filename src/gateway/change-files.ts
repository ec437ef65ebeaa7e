/**
 * The data files of staged commits: takes rows as they are handed over, one batch after the other,
 * and says at the end of a commit which files hold them. What was written before a commit's end is
 * durable or on its way, but nothing names it yet.
 */
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { ChangesEntry } from '../staging/manifest.ts'
import { changeFilePath } from '../staging/layout.ts'
import type { StagedFileWriter, StagingLog } from '../staging/staging-log.ts'
import type { TableSchema } from '../source/table-schema.ts'
import {
  absentColumn,
  changeFileColumns,
  type OptionalColumns,
  unfitColumn,
} from './change-columns.ts'
import type { TakenRows } from './change-rows.ts'
import type { SchemaVersion } from './schema-steps.ts'
import { emptyColumn } from './unfit-cells.ts'

/** Which rows may share a file. */
export interface ChangeFileKey {
  readonly tableId: string
  readonly snapshotId: number
  /** Its number is known before rows are written. */
  readonly version: SchemaVersion
  /** See `ChangesEntry`. */
  readonly resumption: number
  readonly schema: TableSchema
}

/** Left out for a copy that was never resumed. */
export function resumptionField(resumption: number): { readonly resumption?: number } {
  return resumption === 0 ? {} : { resumption }
}

type RowCounts = Omit<TakenRows, 'batch' | 'hasAbsent' | 'hasUnfit'>

interface OpenFile extends OptionalColumns {
  readonly writer: StagedFileWriter
  inputBytes: number
  counts: RowCounts
}

/** Numbers files of one process, so that no two ever share a name. */
export class FileNumbers {
  #next = 0

  next(): number {
    return this.#next++
  }
}

export interface ChangeFilesOptions {
  readonly staging: Pick<StagingLog, 'openDataFile' | 'epoch'>
  readonly numbers: FileNumbers
  readonly fileBytes: number
}

export class ChangeFiles {
  readonly #options: ChangeFilesOptions
  readonly #open = new Map<ChangeFileKey, OpenFile>()
  #closed: Promise<ChangesEntry>[] = []

  constructor(options: ChangeFilesOptions) {
    this.#options = options
  }

  /** Calls do not overlap. */
  async append(key: ChangeFileKey, rows: TakenRows): Promise<void> {
    let file = this.#open.get(key)
    const needs = sumOptional(file, rows)
    if (file !== undefined && mustRotate(file, rows, this.#options.fileBytes)) {
      this.#close(key, file)
      file = undefined
    }
    if (file === undefined) file = await this.#openFile(key, rows, needs)
    else file.counts = sum(file.counts, rows)
    file.inputBytes += rows.batch.byteLength
    await file.writer.write(withOptionalColumns(file, rows))
  }

  /** The files since the last call, durable; in the order in which they were begun per table. */
  async finish(): Promise<ChangesEntry[]> {
    for (const [key, file] of this.#open) this.#close(key, file)
    return Promise.all(this.#closed.splice(0))
  }

  /** Forgets what nothing names. */
  async abort(): Promise<void> {
    const files = [...this.#open.values()]
    this.#open.clear()
    await Promise.allSettled(files.map((file) => file.writer.abort()))
    await Promise.allSettled(this.#closed.splice(0))
  }

  async #openFile(
    key: ChangeFileKey,
    rows: TakenRows,
    optional: OptionalColumns,
  ): Promise<OpenFile> {
    const path = changeFilePath({
      tableId: key.tableId,
      firstSequence: rows.minSequence,
      epoch: this.#options.staging.epoch,
      number: this.#options.numbers.next(),
    })
    const columns = changeFileColumns(key.schema, optional)
    const writer = await this.#options.staging.openDataFile(path, columns)
    const file: OpenFile = {
      writer,
      ...optional,
      inputBytes: 0,
      counts: countsOf(rows),
    }
    this.#open.set(key, file)
    return file
  }

  #close(key: ChangeFileKey, file: OpenFile): void {
    this.#open.delete(key)
    const closed = closeFile(key, file)
    // Whoever finishes the commit meets the error; until then it is not unhandled.
    closed.catch(() => undefined)
    this.#closed.push(closed)
  }
}

async function closeFile(key: ChangeFileKey, file: OpenFile): Promise<ChangesEntry> {
  const { counts } = file
  return {
    kind: 'changes',
    table_id: key.tableId,
    snapshot_id: key.snapshotId,
    schema_version: key.version.number,
    file: await file.writer.close(),
    inserts: counts.inserts,
    updates: counts.updates,
    deletes: counts.deletes,
    has_absent: file.hasAbsent,
    min_sequence: counts.minSequence.toString(),
    max_sequence: counts.maxSequence.toString(),
    ...resumptionField(key.resumption),
  }
}

function mustRotate(file: OpenFile, rows: TakenRows, fileBytes: number): boolean {
  return (
    file.inputBytes >= fileBytes ||
    (rows.hasAbsent && !file.hasAbsent) ||
    (rows.hasUnfit && !file.hasUnfit)
  )
}

/** A file after another has what that one had, or the two kinds of rows would need a file each time. */
function sumOptional(file: OpenFile | undefined, rows: TakenRows): OptionalColumns {
  return {
    hasAbsent: rows.hasAbsent || file?.hasAbsent === true,
    hasUnfit: rows.hasUnfit || file?.hasUnfit === true,
  }
}

function countsOf(rows: TakenRows): RowCounts {
  const { inserts, updates, deletes, minSequence, maxSequence } = rows
  return { inserts, updates, deletes, minSequence, maxSequence }
}

/** `b` comes after `a`. */
function sum(a: RowCounts, b: RowCounts): RowCounts {
  return {
    inserts: a.inserts + b.inserts,
    updates: a.updates + b.updates,
    deletes: a.deletes + b.deletes,
    minSequence: a.minSequence,
    maxSequence: b.maxSequence,
  }
}

/** A file that has a column needs it in every row group. */
function withOptionalColumns(
  file: OpenFile,
  { batch, hasAbsent, hasUnfit }: TakenRows,
): ColumnBatch {
  const needsAbsent = file.hasAbsent && !hasAbsent
  const needsUnfit = file.hasUnfit && !hasUnfit
  if (!needsAbsent && !needsUnfit) return batch
  const columns = [...batch.columns]
  const unfit = hasUnfit ? columns.pop() : undefined
  if (needsAbsent) columns.push(emptyColumn(absentColumn, batch.rowCount))
  if (unfit !== undefined) columns.push(unfit)
  else if (needsUnfit) columns.push(emptyColumn(unfitColumn, batch.rowCount))
  return { ...batch, columns }
}
