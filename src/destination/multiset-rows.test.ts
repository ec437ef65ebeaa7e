/** A table without a key: equal rows counted, not merged; and nothing half done when one is missing. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Cell } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  wholeSchema,
} from '../../test/support/pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { TableSchema } from '../source/table-schema.ts'

let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-multiset-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
const schema: TableSchema = {
  ...schemaOf(
    {
      f: { kind: 'float64' },
      s: { kind: 'string' },
      l: { kind: 'array', element: { kind: 'float32' } },
    },
    [],
  ),
  identity: 'full-row',
}
type Row = [Cell, Cell, Cell]
type Wish =
  | { readonly kind: 'insert'; readonly row: Row }
  | { readonly kind: 'delete'; readonly at: number }
  | { readonly kind: 'update'; readonly at: number; readonly row: Row }
  | { readonly kind: 'apply' }
const row: fc.Arbitrary<Row> = fc.tuple(
  fc.constantFrom<Cell>(0, -0, Number.NaN, 1.5, null),
  fc.constantFrom<Cell>('', 'a', null),
  fc.constantFrom<Cell>(null, [], [0], [-0], [null]),
)
const wish: fc.Arbitrary<Wish> = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), row }),
  fc.record({ kind: fc.constant('delete' as const), at: fc.nat(99) }),
  fc.record({ kind: fc.constant('update' as const), at: fc.nat(99), row }),
  fc.record({ kind: fc.constant('apply' as const) }),
)

const textOf = (cells: readonly unknown[]): string =>
  JSON.stringify(cells, (_, cell: unknown) =>
    typeof cell === 'number' ? (Object.is(cell, -0) ? '-0' : String(cell)) : cell,
  )
const sorted = (rows: readonly (readonly unknown[])[]): readonly string[] =>
  rows.map(textOf).toSorted()

/** The engine's writer would take the zeros of many rows for one value. */
const equalButForTheSign: [Row[], Wish[]] = [
  [
    [0, '', null],
    [0, '', null],
  ],
  [
    { kind: 'update', at: 0, row: [0, '', [-0]] },
    { kind: 'update', at: 0, row: [0, '', [0]] },
    { kind: 'insert', row: [0, '', null] },
    { kind: 'insert', row: [0, '', [-0]] },
    { kind: 'insert', row: [0, '', [-0]] },
    { kind: 'update', at: 57, row: [0, '', [-0]] },
  ],
]

test('as many equal rows as the source has, -0 and 0 and NaN and NULL told apart', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 8 }), fc.array(wish), async (start, wishes) => {
      const place = await openPlace(join(folder, String(places++)))
      const rows: (readonly Cell[])[] = [...start]
      let sequence = 1
      let changes: StagedChange[] = []
      const add = (op: 'i' | 'd', cells: readonly Cell[]): number =>
        changes.push({ op, sequence, ordinal: changes.length, cells })
      await place.source.publish([
        await place.source.table('9', 't', schema),
        ...(await place.source.snapshot('9', schema, [start.slice(0, 3), start.slice(3)])),
      ])
      for (const one of [...wishes, { kind: 'apply' as const }]) {
        if (one.kind === 'insert') rows.push(one.row)
        const old = 'at' in one ? rows[one.at % Math.max(1, rows.length)] : undefined
        if (old !== undefined) {
          rows.splice(rows.indexOf(old), 1)
          add('d', old)
          if (one.kind === 'update') rows.push(one.row)
        }
        if ('row' in one && (one.kind === 'insert' || old !== undefined)) add('i', one.row)
        if (one.kind !== 'apply') continue
        if (changes.length > 0) {
          await place.source.publish([await place.source.changes('9', schema, changes)])
        }
        changes = []
        sequence++
        expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
        expect(sorted(await rowsOf(place.lake, 'main/shop/t', engine))).toEqual(sorted(rows))
      }
    }),
    { numRuns: 15, examples: [equalButForTheSign] },
  )
})

test('a delete that finds no row stops the table, and nothing of the update is applied', async () => {
  const place = await openPlace(join(folder, String(places++)))
  const change = (op: 'i' | 'd', ordinal: number, cells: readonly Cell[]): StagedChange => ({
    op,
    sequence: 1,
    ordinal,
    cells,
  })
  await place.source.publish([
    await place.source.table('9', 't', schema),
    ...(await place.source.snapshot('9', schema, [[[1.5, 'a', null]]])),
  ])
  await pipelineOver(place, engine).update({ signal })
  const changes = [change('i', 0, [0, 'new', null]), change('d', 1, [-0, 'a', null])]
  await place.source.publish([await place.source.changes('9', schema, changes)])
  const { failedTables } = await pipelineOver(place, engine).update({ signal })
  expect(failedTables.map(({ problem }) => problem?.code)).toEqual(['DESTINATION_ROW_MISSING'])
  expect(await rowsOf(place.lake, 'main/shop/t', engine)).toEqual([[1.5, 'a', null]])
})

test('SCD type 2 of a table without a key is refused by code', async () => {
  const place = await openPlace(join(folder, String(places++)))
  await place.source.publish([
    await place.source.table('9', 't', schema),
    ...(await place.source.snapshot('9', schema, [[]])),
  ])
  const pipeline = pipelineOver(place, engine, {
    tables: [{ ...wholeSchema, scdType: 'SCD_TYPE_2' }],
  })
  const { failedTables } = await pipeline.update({ signal })
  expect(failedTables.map(({ problem }) => problem?.code)).toEqual(['PIPELINE_SCD_UNSUPPORTED'])
})
