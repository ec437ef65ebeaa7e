/** `_log/_checkpoint` to bytes and back; see docs/staging-format.md, "Checkpoint". */
import type { Checkpoint } from './checkpoint.ts'
import type { CopyFilesState } from './copy-files.ts'
import { readEntry, readTableId } from './entry-codec.ts'
import { FieldError, JsonFields } from './json-fields.ts'
import type { NewestWorkState } from './newest-work.ts'
import type { RecoveredChunk, RecoveredState, RecoveredTable } from './recovered-log.ts'
import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'
import { decodeStaged, encodeStaged } from './staged-codec.ts'

/** Raised with every change of what it holds, or of what the parts that hold it make of a log. */
export const checkpointFormat = 1

export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const { commit, seal, incarnation, recovered, files, staged, work } = checkpoint
  return encodeSealedJson({
    format: checkpointFormat,
    commit,
    seal,
    incarnation,
    recovered: encodeRecovered(recovered, incarnation),
    files: {
      greatest_sequence: files.greatestSequence,
      copies: files.copies.map(({ tableId, snapshotId, paths }) => ({
        table_id: tableId,
        snapshot_id: snapshotId,
        paths,
      })),
    },
    staged: encodeStaged(staged),
    work: work.map(({ tableId, commit: at, atMs }) => ({
      table_id: tableId,
      commit: at,
      ...(atMs === undefined ? {} : { at_ms: String(atMs) }),
    })),
  })
}

/** undefined when it is damaged, or not of this format: nobody needs it. */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint | undefined {
  const sealed = decodeSealedJson(bytes)
  if (sealed.kind === 'damaged') return undefined
  try {
    const fields = new JsonFields(sealed.value, '')
    if (fields.count('format') !== checkpointFormat) return undefined
    const incarnation = fields.text('incarnation')
    const checkpoint = {
      commit: fields.count('commit'),
      seal: fields.count('seal'),
      incarnation,
      recovered: decodeRecovered(fields.object('recovered'), incarnation),
      files: decodeFiles(fields.object('files')),
      staged: decodeStaged(fields.object('staged')),
      work: fields.array('work', decodeWork),
    }
    fields.end()
    return checkpoint
  } catch (error) {
    if (error instanceof FieldError) return undefined
    throw error
  }
}

/** The incarnation may be long, and that of the place hardly ever is another one. */
function encodeRecovered(state: RecoveredState, incarnation: string): object {
  const { place, lastSequence, newestCommitTimeUs, tables } = state
  const own = place?.incarnation === incarnation ? {} : { incarnation: place?.incarnation }
  return {
    ...(place === undefined ? {} : { place: { ...own, position: place.position } }),
    last_sequence: lastSequence,
    newest_commit_time_us: newestCommitTimeUs,
    tables: tables.map((table) => ({
      table_id: table.tableId,
      name: table.name,
      schema_version: table.schemaVersion < 0 ? undefined : table.schemaVersion,
      started: table.started,
      points: table.points,
      first_chunk: table.firstChunk,
      chunk_count: table.chunkCount,
      chunks: [...table.chunks].map(([chunk, { range, point }]) => ({ chunk, range, point })),
      rows: table.rows,
      is_finished: table.isFinished || undefined,
      has_gap: table.hasGap || undefined,
      is_gone: table.isGone || undefined,
    })),
  }
}

function decodeRecovered(fields: JsonFields, incarnation: string): RecoveredState {
  const state = {
    place: fields.has('place') ? decodePlace(fields.object('place'), incarnation) : undefined,
    lastSequence: fields.has('last_sequence') ? fields.sequence('last_sequence') : undefined,
    newestCommitTimeUs: fields.has('newest_commit_time_us')
      ? fields.decimal('newest_commit_time_us')
      : undefined,
    tables: fields.array('tables', decodeTable),
  }
  fields.end()
  return state
}

function decodePlace(fields: JsonFields, incarnation: string): RecoveredState['place'] {
  const place = {
    incarnation: fields.has('incarnation') ? fields.text('incarnation') : incarnation,
    position: fields.text('position'),
  }
  fields.end()
  return place
}

function decodeTable(value: unknown, path: string): RecoveredTable {
  const fields = new JsonFields(value, path)
  const table = {
    tableId: readTableId(fields),
    name: fields.has('name') ? fields.text('name') : undefined,
    schemaVersion: fields.has('schema_version') ? fields.count('schema_version') : -1,
    started: fields.has('started') ? readEntry(fields, 'started', 'snapshot_started') : undefined,
    points: fields.array('points', readText),
    firstChunk: fields.count('first_chunk'),
    chunkCount: fields.count('chunk_count'),
    chunks: new Map(fields.array('chunks', decodeChunk)),
    rows: fields.count('rows'),
    isFinished: fields.flag('is_finished'),
    hasGap: fields.flag('has_gap'),
    isGone: fields.flag('is_gone'),
  }
  fields.end()
  return table
}

function decodeChunk(value: unknown, path: string): [number, RecoveredChunk] {
  const fields = new JsonFields(value, path)
  const chunk = fields.count('chunk')
  const range = fields.has('range') ? fields.text('range') : undefined
  const point = fields.count('point')
  fields.end()
  return [chunk, { range, point }]
}

function decodeFiles(fields: JsonFields): CopyFilesState {
  const state = {
    greatestSequence: fields.has('greatest_sequence')
      ? fields.sequence('greatest_sequence')
      : undefined,
    copies: fields.array('copies', (value, path) => {
      const copy = new JsonFields(value, path)
      const tableId = readTableId(copy)
      const snapshotId = copy.count('snapshot_id')
      const paths = copy.array('paths', readText)
      copy.end()
      return { tableId, snapshotId, paths }
    }),
  }
  fields.end()
  return state
}

function decodeWork(value: unknown, path: string): NewestWorkState[number] {
  const fields = new JsonFields(value, path)
  const work = {
    tableId: readTableId(fields),
    commit: fields.count('commit'),
    atMs: fields.has('at_ms') ? Number(fields.decimal('at_ms')) : undefined,
  }
  fields.end()
  return work
}

function readText(value: unknown, path: string): string {
  if (typeof value === 'string') return value
  throw new FieldError(path, 'is not a text')
}
