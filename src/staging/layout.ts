/** Every path in a staging volume, and nothing else. */

/** The log. What is in there and is not a manifest, `_first` or `_checkpoint` does not concern us. */
export const logFolder = '_log/'

/** Where the log begins after a purge. */
export const logBasePath = '_log/_first'

/** What its readers make of most of the log, so that they need not read it; may always be removed. */
export const checkpointPath = '_log/_checkpoint'

/** All schemas and data files. */
export const tablesFolder = 'tables/'

/** Of the gateway that holds the volume: what it need not find again. No part of what is staged. */
export const spoolFolder = '_spool'

const digits = 20
const manifestPattern = /^_log\/(\d{20})\.json$/
const snapshotPattern = /^tables\/([^/]+)\/snapshot\/(\d+)\/(\d+)-(\d+)\.parquet$/
const changePattern = /^tables\/([^/]+)\/changes\/(\d{20})-(\d+)-(\d+)\.parquet$/
const tableIdPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/

/** True for what may be a folder name under `tables/`. */
export function isTableFolderName(tableId: string): boolean {
  return tableIdPattern.test(tableId)
}

export function manifestPath(commit: number): string {
  return `${logFolder}${wholeNumber(commit).padStart(digits, '0')}.json`
}

/** The commit number; undefined when the path is not a manifest's. */
export function parseManifestPath(path: string): number | undefined {
  const commit = Number(manifestPattern.exec(path)?.[1])
  return Number.isSafeInteger(commit) ? commit : undefined
}

export function schemaPath(tableId: string, schemaVersion: number): string {
  return `${tableFolder(tableId)}schema-${wholeNumber(schemaVersion)}.json`
}

export interface SnapshotFileName {
  readonly kind: 'snapshot'
  readonly tableId: string
  readonly snapshotId: number
  readonly chunk: number
  /** Of the gateway that writes it. */
  readonly epoch: number
}

export interface ChangeFileName {
  readonly kind: 'changes'
  readonly tableId: string
  /** Sequence of the first transaction in it. */
  readonly firstSequence: bigint
  readonly epoch: number
  /** Tells files of one epoch with the same first sequence apart. */
  readonly number: number
}

export type DataFileName = SnapshotFileName | ChangeFileName

export function snapshotFilePath(name: Omit<SnapshotFileName, 'kind'>): string {
  const { tableId, snapshotId, chunk, epoch } = name
  return `${snapshotFolder(tableId, snapshotId)}${wholeNumber(chunk)}-${wholeNumber(epoch)}.parquet`
}

export function changeFilePath(name: Omit<ChangeFileName, 'kind'>): string {
  const { tableId, firstSequence, epoch, number } = name
  if (firstSequence < 0n) throw new RangeError(`not a sequence: ${firstSequence}`)
  const first = firstSequence.toString().padStart(digits, '0')
  return `${changesFolder(tableId)}${first}-${wholeNumber(epoch)}-${wholeNumber(number)}.parquet`
}

/** undefined when the path is not exactly what the builders above return. */
export function parseDataFilePath(path: string): DataFileName | undefined {
  const name = parseSnapshotFilePath(path) ?? parseChangeFilePath(path)
  if (name === undefined || !isTableFolderName(name.tableId)) return undefined
  // Only the canonical spelling: no superfluous zeros, no number beyond exactness.
  const numbers = name.kind === 'snapshot' ? [name.snapshotId, name.chunk] : [name.number]
  if (![...numbers, name.epoch].every((number) => Number.isSafeInteger(number))) return undefined
  const built = name.kind === 'snapshot' ? snapshotFilePath(name) : changeFilePath(name)
  return built === path ? name : undefined
}

/** What `ObjectStorage.list` takes. */
export interface PathRange {
  readonly prefix: string
  readonly startAfter?: string
}

export function changesFolder(tableId: string): string {
  return `${tableFolder(tableId)}changes/`
}

/** Of all copies. */
export function snapshotsFolder(tableId: string): string {
  return `${tableFolder(tableId)}snapshot/`
}

/** Change files with a first sequence greater than `sequence`; all of them after -1. */
export function changesAfter(tableId: string, sequence: bigint): PathRange {
  const prefix = changesFolder(tableId)
  if (sequence < 0n) return { prefix }
  // The character after the one that ends the number in a name.
  return { prefix, startAfter: `${prefix}${sequence.toString().padStart(digits, '0')}.` }
}

export function snapshotFolder(tableId: string, snapshotId: number): string {
  return `${snapshotsFolder(tableId)}${wholeNumber(snapshotId)}/`
}

function parseSnapshotFilePath(path: string): SnapshotFileName | undefined {
  const [, tableId, snapshotId, chunk, epoch] = snapshotPattern.exec(path) ?? []
  if (tableId === undefined) return undefined
  return {
    kind: 'snapshot',
    tableId,
    snapshotId: Number(snapshotId),
    chunk: Number(chunk),
    epoch: Number(epoch),
  }
}

function parseChangeFilePath(path: string): ChangeFileName | undefined {
  const [, tableId, first, epoch, number] = changePattern.exec(path) ?? []
  if (tableId === undefined || first === undefined) return undefined
  return {
    kind: 'changes',
    tableId,
    firstSequence: BigInt(first),
    epoch: Number(epoch),
    number: Number(number),
  }
}

function tableFolder(tableId: string): string {
  if (!isTableFolderName(tableId))
    throw new RangeError(`not a table id: ${JSON.stringify(tableId)}`)
  return `${tablesFolder}${tableId}/`
}

function wholeNumber(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a number: ${value}`)
  return String(value)
}
