/**
 * The data files of staged commits: takes rows as they are handed over, one batch after the other,
 * and says at the end of a commit which files hold them. What was written before a commit's end is
 * durable or on its way, but nothing names it yet.
 */
import { ArrayBuilder } from '../columnar/column-builder.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { ChangesEntry } from '../staging/manifest.ts'
import { changeFilePath } from '../staging/layout.ts'
import type { StagedFileWriter, StagingLog } from '../staging/staging-log.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { absentColumn, changeFileColumns } from './change-columns.ts'
import type { TakenRows } from './change-rows.ts'

/** Which rows may share a file. */
export interface ChangeFileKey {
  readonly tableId: string
  readonly snapshotId: number
  readonly schemaVersion: number
  readonly schema: TableSchema
}

type RowCounts = Omit<TakenRows, 'batch' | 'hasAbsent'>

interface OpenFile {
  readonly writer: StagedFileWriter
  readonly hasAbsent: boolean
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
    if (file !== undefined && mustRotate(file, rows, this.#options.fileBytes)) {
      this.#close(key, file)
      file = undefined
    }
    if (file === undefined) file = await this.#openFile(key, rows)
    else file.counts = sum(file.counts, rows)
    const { batch } = rows
    file.inputBytes += batch.byteLength
    const needsAbsent = file.hasAbsent && !rows.hasAbsent
    await file.writer.write(needsAbsent ? withEmptyAbsent(batch) : batch)
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

  async #openFile(key: ChangeFileKey, rows: TakenRows): Promise<OpenFile> {
    const path = changeFilePath({
      tableId: key.tableId,
      firstSequence: rows.minSequence,
      epoch: this.#options.staging.epoch,
      number: this.#options.numbers.next(),
    })
    const columns = changeFileColumns(key.schema, rows.hasAbsent)
    const writer = await this.#options.staging.openDataFile(path, columns)
    const file: OpenFile = {
      writer,
      hasAbsent: rows.hasAbsent,
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
    schema_version: key.schemaVersion,
    file: await file.writer.close(),
    inserts: counts.inserts,
    updates: counts.updates,
    deletes: counts.deletes,
    has_absent: file.hasAbsent,
    min_sequence: counts.minSequence.toString(),
    max_sequence: counts.maxSequence.toString(),
  }
}

function mustRotate(file: OpenFile, rows: TakenRows, fileBytes: number): boolean {
  return file.inputBytes >= fileBytes || (rows.hasAbsent && !file.hasAbsent)
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

/** A file that has the column needs it in every row group. */
function withEmptyAbsent(batch: ColumnBatch): ColumnBatch {
  const builder = new ArrayBuilder(absentColumn.name, absentColumn.type)
  for (let row = 0; row < batch.rowCount; row++) builder.appendNull()
  return { ...batch, columns: [...batch.columns, builder.finish()] }
}
