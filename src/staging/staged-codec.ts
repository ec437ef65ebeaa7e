/** The part of a checkpoint that is for pipelines; see docs/staging-format.md, "Checkpoint". */
import { readEntry, readTableId } from './entry-codec.ts'
import { JsonFields } from './json-fields.ts'
import type { StagedStep } from './staged-table.ts'
import type { StagedState, StagedTableState } from './staged-tables.ts'

type CopyState = StagedTableState['snapshots'][number]

export function encodeStaged({ lastSequence, position, barriers, tables }: StagedState): object {
  return { last_sequence: lastSequence, position, barriers, tables: tables.map(encodeTable) }
}

function encodeTable(table: StagedTableState): object {
  const { tableId, name, namedAt, gap, isGone, refreshedAt, snapshots } = table
  return {
    table_id: tableId,
    source_catalog: name.catalog,
    source_schema: name.schema,
    source_table: name.table,
    named_at: namedAt,
    gap,
    is_gone: isGone || undefined,
    refreshed_at: refreshedAt,
    copies: snapshots.map(encodeCopy),
  }
}

function encodeCopy(copy: CopyState): object {
  const { lastSequence, createdAtMs } = copy.place
  return {
    started: copy.started,
    started_at: copy.startedAt,
    place: { last_sequence: lastSequence, created_at_ms: createdAtMs },
    resumed: copy.resumed,
    resumed_at: copy.resumedAt,
    steps: copy.steps,
    forgotten_up_to: copy.forgottenUpTo,
    finished_at: copy.finishedAt,
    is_void: copy.isVoid || undefined,
    void_at: copy.voidAt,
  }
}

/** Throws FieldError. */
export function decodeStaged(fields: JsonFields): StagedState {
  const state = {
    lastSequence: fields.has('last_sequence') ? fields.sequence('last_sequence') : undefined,
    position: fields.text('position'),
    barriers: fields.array('barriers', (value, path) => {
      const barrier = new JsonFields(value, path)
      const [commit, position] = [barrier.count('commit'), barrier.text('position')]
      barrier.end()
      return { commit, position }
    }),
    tables: fields.array('tables', decodeTable),
  }
  fields.end()
  return state
}

function decodeTable(value: unknown, path: string): StagedTableState {
  const fields = new JsonFields(value, path)
  const table = {
    tableId: readTableId(fields),
    name: {
      ...(fields.has('source_catalog') ? { catalog: fields.text('source_catalog') } : {}),
      schema: fields.text('source_schema'),
      table: fields.text('source_table'),
    },
    namedAt: fields.commit('named_at'),
    gap: fields.has('gap') ? decodeGap(fields.object('gap')) : undefined,
    isGone: fields.flag('is_gone'),
    ...(fields.has('refreshed_at') ? { refreshedAt: fields.commit('refreshed_at') } : {}),
    snapshots: fields.array('copies', decodeCopy),
  }
  fields.end()
  return table
}

function decodeGap(fields: JsonFields): StagedTableState['gap'] {
  const gap = { commit: fields.commit('commit'), entry: readEntry(fields, 'entry', 'gap') }
  fields.end()
  return gap
}

function decodeCopy(value: unknown, path: string): CopyState {
  const fields = new JsonFields(value, path)
  const optional = (name: string): number | undefined =>
    fields.has(name) ? fields.commit(name) : undefined
  const place = fields.object('place')
  const copy = {
    started: readEntry(fields, 'started', 'snapshot_started'),
    startedAt: optional('started_at'),
    place: {
      lastSequence: place.has('last_sequence') ? place.sequence('last_sequence') : undefined,
      createdAtMs: place.count('created_at_ms'),
    },
    resumed: fields.has('resumed') ? readEntry(fields, 'resumed', 'snapshot_resumed') : undefined,
    resumedAt: optional('resumed_at'),
    steps: fields.array('steps', decodeStep),
    forgottenUpTo: optional('forgotten_up_to'),
    finishedAt: optional('finished_at'),
    isVoid: fields.flag('is_void'),
    voidAt: optional('void_at'),
  }
  place.end()
  fields.end()
  return copy
}

function decodeStep(value: unknown, path: string): StagedStep {
  const fields = new JsonFields(value, path)
  const step = {
    commit: fields.count('commit'),
    entry: readEntry(fields, 'entry', 'schema_change'),
    times: fields.has('times') ? decodeTimes(fields.object('times')) : undefined,
  }
  fields.end()
  return step
}

function decodeTimes(fields: JsonFields): StagedStep['times'] {
  const times = { min: fields.decimal('min'), max: fields.decimal('max') }
  fields.end()
  return times
}
