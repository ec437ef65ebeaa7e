/** Replays what is staged into plain rows: the smallest pipeline there can be, and a strict one. */
import type { Column, ColumnBatch } from '../../../src/columnar/column-batch.ts'
import type { Manifest, ManifestEntry } from '../../../src/staging/manifest.ts'
import type { StagingDisk } from './memory-staging.ts'

export type Cell = string | number | bigint | null | undefined | readonly number[]
export type StagedRow = Readonly<Record<string, Cell>>

export interface StagedTable {
  readonly tableId: string
  readonly snapshotId: number
  /** By key, in the text form of its `id`. */
  readonly rows: ReadonlyMap<string, StagedRow>
}

/** Staged commits and the rows of the files they name. */
export interface StagedVolume {
  readonly manifests: readonly Manifest[]
  rowsOf(path: string): readonly StagedRow[]
}

/** Tables that may be loaded at the staged commit `last`, and have not been discontinued since. */
export function stagedTables(disk: StagedVolume, last: number): ReadonlyMap<string, StagedTable> {
  const entries = disk.manifests.slice(0, last + 1).flatMap((manifest) => manifest.entries)
  const live = new Map<string, number>()
  const newest = new Map<string, number>()
  for (const entry of entries) {
    if (entry.kind === 'snapshot_started') {
      const before = newest.get(entry.table_id) ?? -1
      if (entry.snapshot_id !== before + 1) throw new Error('snapshot ids are not dense')
      newest.set(entry.table_id, entry.snapshot_id)
      live.delete(entry.table_id)
    } else if (entry.kind === 'snapshot_finished') {
      if (newest.get(entry.table_id) !== entry.snapshot_id) throw new Error('finished out of order')
      live.set(entry.table_id, entry.snapshot_id)
    } else if (entry.kind === 'gap') {
      live.delete(entry.table_id)
    }
  }
  return new Map([...live].map(([id, snapshotId]) => [id, replay(disk, entries, id, snapshotId)]))
}

interface Event {
  readonly sequence: bigint
  readonly ordinal: number
  readonly op: string
  readonly row: StagedRow
  readonly absent: readonly number[]
}

interface ReadChunk {
  /** Number of the point it was read under. */
  readonly point: number
  readonly isRefresh: boolean
  readonly rows: readonly StagedRow[]
}

interface Replayed {
  readonly chunks: ReadChunk[]
  /** Number of the newest point that does not show them. */
  readonly events: { readonly after: number; readonly event: Event }[]
  newestPoint: number
  firstChunk: number
  /** Chunks that have to be there from `firstChunk` on. */
  missing: number | undefined
}

function replay(
  disk: StagedVolume,
  entries: readonly ManifestEntry[],
  tableId: string,
  snapshotId: number,
): StagedTable {
  const found: Replayed = {
    chunks: [],
    events: [],
    newestPoint: 0,
    firstChunk: 0,
    missing: undefined,
  }
  for (const entry of entries) {
    if (entry.table_id !== tableId || !('snapshot_id' in entry)) continue
    if (entry.snapshot_id === snapshotId) take(disk, found, entry)
  }
  if (found.missing !== 0) throw new Error(`table ${tableId}: ${found.missing} chunks are missing`)
  const rows = new Map<string, StagedRow>()
  for (const row of copiedRows(found)) insert(rows, row)
  const events = found.events.flatMap(({ after, event }) =>
    after === found.newestPoint ? [event] : [],
  )
  events.sort((a, b) =>
    a.sequence === b.sequence ? a.ordinal - b.ordinal : a.sequence < b.sequence ? -1 : 1,
  )
  applyEvents(rows, events)
  return { tableId, snapshotId, rows }
}

function take(disk: StagedVolume, found: Replayed, entry: ManifestEntry): void {
  if (entry.kind === 'snapshot_started') found.missing = entry.chunk_count
  if (found.missing === undefined) throw new Error(`${entry.kind} before its snapshot_started`)
  if (entry.kind === 'snapshot_resumed') {
    if (entry.resumption !== ++found.newestPoint) throw new Error('resumptions are not dense')
    if (entry.first_chunk < found.firstChunk) throw new Error('chunk numbers go back')
    found.firstChunk = entry.first_chunk
    found.missing = entry.chunk_count
  } else if (entry.kind === 'snapshot_chunk') {
    if (entry.chunk < found.firstChunk) throw new Error('a chunk of an earlier point')
    if ((entry.resumption ?? 0) !== found.newestPoint) throw new Error('read under another point')
    found.missing--
    const rows = entry.files.flatMap((file) => disk.rowsOf(file.path))
    found.chunks.push({ point: found.newestPoint, isRefresh: entry.refresh === true, rows })
  } else if (entry.kind === 'changes') {
    const after = entry.resumption ?? 0
    for (const row of disk.rowsOf(entry.file.path)) {
      found.events.push({ after, event: eventOf(row) })
    }
  } else if (entry.kind === 'truncate') {
    const { ordinal, sequence } = entry
    const event = { sequence: BigInt(sequence), ordinal, op: 't', row: {}, absent: [] }
    found.events.push({ after: entry.resumption ?? 0, event })
  }
}

/** Rows as of the newest point: what changed since a chunk was read is not taken from it. */
function copiedRows({ chunks, events, newestPoint }: Replayed): StagedRow[] {
  const keyOf = (row: StagedRow): string => String(row['id'])
  return chunks.flatMap(({ point, rows }) => {
    const newer = new Set([
      ...events
        .filter(({ after }) => point <= after && after < newestPoint)
        .map(({ event }) => keyOf(event.row)),
      ...chunks
        .filter((other) => other.isRefresh && other.point > point)
        .flatMap((other) => other.rows.map(keyOf)),
    ])
    return rows.filter((row) => !newer.has(keyOf(row)))
  })
}

function applyEvents(rows: Map<string, StagedRow>, events: readonly Event[]): void {
  let removed: StagedRow | undefined
  for (const { op, row, absent } of events) {
    const key = String(row['id'])
    const before = rows.get(key)
    if (op === 't') rows.clear()
    else if (op === 'i') insert(rows, carry(row, absent, removed))
    else if (before === undefined) throw new Error(`${op} of a row that is not there: ${key}`)
    else if (op === 'u') rows.set(key, carry(row, absent, before))
    else rows.delete(key)
    removed = op === 'd' ? before : undefined
  }
}

function insert(rows: Map<string, StagedRow>, row: StagedRow): void {
  const key = String(row['id'])
  if (rows.has(key)) throw new Error(`insert of a row that is there: ${key}`)
  rows.set(key, row)
}

function carry(row: StagedRow, absent: readonly number[], from: StagedRow | undefined): StagedRow {
  if (absent.length === 0) return row
  if (from === undefined) throw new Error('absent cells and no row to take them from')
  const names = Object.keys(row)
  const cells = absent.map((at) => [names[at] ?? '', from[names[at] ?? '']] as const)
  return { ...row, ...Object.fromEntries(cells) }
}

function eventOf(row: StagedRow): Event {
  const { _op: op, _seq: sequence, _ord: ordinal, _commit_ts: _, _absent: absent, ...cells } = row
  return {
    sequence: sequence as bigint,
    ordinal: ordinal as number,
    op: op as string,
    row: cells,
    absent: (absent as readonly number[] | null | undefined) ?? [],
  }
}

export function volumeOf(disk: StagingDisk): StagedVolume {
  return {
    manifests: disk.manifests,
    rowsOf(path) {
      const batches = disk.files.get(path)
      if (batches === undefined) throw new Error(`${path} is named but not there`)
      return batches.flatMap(batchRows)
    },
  }
}

function batchRows(batch: ColumnBatch): StagedRow[] {
  const columns = batch.columns.map((column) => ({ name: column.name, cells: cellsOf(column) }))
  return Array.from({ length: batch.rowCount }, (_, at) =>
    Object.fromEntries(columns.map(({ name, cells }) => [name, cells[at]])),
  )
}

/** One cell per row; absent is undefined. */
export function cellsOf(column: Column): Cell[] {
  const { values, states, list } = column
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  let at = 0
  let item = 0
  return Array.from({ length: column.rowCount }, (_, row): Cell => {
    const state = states?.[row] ?? 0
    if (state !== 0) return state === 1 ? null : undefined
    switch (column.type.kind) {
      case 'int32':
        return view.getInt32((at += 4) - 4, true)
      case 'int64':
      case 'timestamp':
        return view.getBigInt64((at += 8) - 8, true)
      case 'string': {
        const length = view.getUint32(at, true)
        at += 4 + length
        return Buffer.from(values.subarray(at - length, at)).toString('utf8')
      }
      case 'array': {
        const length = list?.lengths[at++] ?? 0
        const elements = list === undefined ? [] : cellsOf(list.elements)
        item += length
        return elements.slice(item - length, item) as number[]
      }
      default:
        throw new Error(`no test reads ${column.type.kind}`)
    }
  })
}
