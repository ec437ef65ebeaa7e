import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { absent, type Cell } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  type Place,
  rowsOf,
  wholeSchema,
} from '../../test/support/pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { ManifestEntry, StagedFile } from '../staging/manifest.ts'

const { signal } = new AbortController()

let folder: string
let engine: Engine

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-resumed-'))
  engine = await openEngine({ threads: 1 })
})

afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true })
})

const schema = schemaOf(
  { file_index: { kind: 'int32' }, v: { kind: 'string' }, big: { kind: 'string' } },
  ['file_index'],
)
const head = { table_id: '7', snapshot_id: 0, schema_version: 0 }

/** One file per chunk. */
async function filesOf(place: Place, chunks: Cell[][][]): Promise<(readonly StagedFile[])[]> {
  const entries = await place.source.snapshot('7', schema, chunks)
  return entries.flatMap((entry) => (entry.kind === 'snapshot_chunk' ? [entry.files] : []))
}

function change(
  sequence: number,
  ordinal: number,
  op: 'i' | 'u' | 'd',
  cells: Cell[],
): StagedChange {
  return { sequence, ordinal, op, cells }
}

/** A copy that was cut off after rows 1 to 4; 5 and 6 stood in the part that was not read. */
async function stage(place: Place): Promise<void> {
  const { source } = place
  const started: ManifestEntry = {
    kind: 'snapshot_started',
    ...head,
    point: 'first',
    chunk_count: 2,
  }
  const [done = [], , rest = [], refresh = []] = await filesOf(place, [
    [
      [1, 'a', 'B1'],
      [2, 'a', 'B2'],
      [3, 'a', 'B3'],
      [4, 'a', 'B4'],
    ],
    [],
    [
      [4, 'new', 'N4'],
      [6, 'a', 'B6'],
    ],
    // The first one did not change: a refresh reads a few rows too many.
    [
      [1, 'a', 'B1'],
      [2, 'b', 'B2'],
      [14, 'a', 'B4'],
      [5, 'moved', 'B5'],
    ],
  ])
  await source.publish([
    await source.table('7', 't', schema),
    started,
    { kind: 'snapshot_chunk', ...head, chunk: 0, files: done, range: '0-8' },
  ])
  const between = await source.changes('7', schema, [
    change(1, 0, 'u', [2, 'b', absent]),
    change(1, 1, 'd', [3, absent, absent]),
    // The key of 4 changes, another row takes it, and 5 moves into the part that was read.
    change(2, 0, 'd', [4, absent, absent]),
    change(2, 1, 'i', [14, 'a', absent]),
    change(3, 0, 'i', [4, 'new', 'N4']),
    change(4, 0, 'u', [5, 'moved', absent]),
  ])
  const after = await source.changes('7', schema, [
    change(5, 0, 'u', [14, 'z', absent]),
    change(6, 0, 'd', [5, absent, absent]),
    change(6, 1, 'i', [15, 'z', absent]),
    change(7, 0, 'd', [6, absent, absent]),
  ])
  const ids = { table_id: '7', snapshot_id: 0 }
  await source.publish([
    between,
    {
      kind: 'snapshot_resumed',
      ...ids,
      resumption: 1,
      point: 'second',
      first_chunk: 2,
      chunk_count: 2,
    },
    { kind: 'snapshot_chunk', ...head, chunk: 2, files: rest, range: '8-', resumption: 1 },
    {
      kind: 'snapshot_chunk',
      ...head,
      chunk: 3,
      files: refresh,
      range: '0-8',
      resumption: 1,
      refresh: true,
    },
    { ...after, resumption: 1 },
    { kind: 'snapshot_finished', ...ids, rows: 10 },
  ])
}

const loaded = [
  [1, 'a', 'B1'],
  [2, 'b', 'B2'],
  [4, 'new', 'N4'],
  [14, 'z', 'B4'],
  [15, 'z', 'B5'],
]

test('a resumed copy is a copy of its newest point: what changed in between is superseded', async () => {
  const place = await openPlace(join(folder, 'linked'))
  await stage(place)
  await pipelineOver(place, engine).update({ signal })
  expect(await rowsOf(place.lake, 'main/shop/t', engine)).toEqual(loaded)
})

test('the same where columns are left out and rows are written', async () => {
  const place = await openPlace(join(folder, 'written'))
  await stage(place)
  await pipelineOver(place, engine, {
    tables: [{ ...wholeSchema, sourceTable: 't', excludeColumns: ['v'] }],
  }).update({ signal })
  const rows = loaded.map(([id, , big]) => [id, big])
  expect(await rowsOf(place.lake, 'main/shop/t', engine)).toEqual(rows)
})
