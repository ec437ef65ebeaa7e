/** Values that a destination's types can not hold, under every policy: copied, followed, carried over. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { absent, type Cell, Unfit } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  type Place,
} from '../../test/support/pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import type { UnfitPolicy } from './destination-columns.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { PipelineOptions } from '../pipeline/pipeline.ts'
import type { UpdateResult } from '../pipeline/pipeline-status.ts'

let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-unfit-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
const schema = schemaOf(
  {
    id: { kind: 'int32' },
    day: { kind: 'date' },
    'at:1': { kind: 'timestamp' },
    local: { kind: 'timestamp_ntz' },
    price: { kind: 'decimal', precision: 4, scale: 4 },
    body: { kind: 'string' },
  },
  ['id'],
)
const root = 'main/shop/t'
const unfit = (text: string): Unfit => new Unfit(text)
/** 2024-02-29 12:00 and a half second. */
const day = 19782
const instant = BigInt(day) * 86_400_000_000n + 43_200_500_000n

const whole = (id: number, body: string): Cell[] => [id, day, instant, instant, -500n, body]
const odd = (id: number): Cell[] => [
  id,
  unfit('infinity'),
  unfit('0044-03-15 00:00:00+00 BC'),
  unfit('-infinity'),
  unfit('NaN'),
  `odd ${id}`,
]

async function placeWith(
  chunks: readonly (readonly (readonly Cell[])[])[],
  steps: readonly (readonly StagedChange[])[] = [],
): Promise<Place> {
  const place = await openPlace(join(folder, `p${places++}`))
  const { source } = place
  await source.publish([
    await source.table('9', 't', schema),
    ...(await source.snapshot('9', schema, chunks)),
  ])
  for (const step of steps) await stage(place, step)
  return place
}

async function stage(place: Place, changes: readonly StagedChange[]): Promise<void> {
  await place.source.publish([await place.source.changes('9', schema, changes)])
}

async function update(
  place: Place,
  unfitValues?: UnfitPolicy,
  options: Partial<PipelineOptions> = {},
): Promise<UpdateResult> {
  const pipeline = pipelineOver(place, engine, {
    ...options,
    ...(unfitValues === undefined ? {} : { unfitValues }),
  })
  return await pipeline.update({ signal })
}

const change = (
  op: StagedChange['op'],
  sequence: number,
  cells: readonly Cell[],
  ordinal = 0,
): StagedChange => ({ op, sequence, ordinal, cells })

const rows = async (place: Place): Promise<unknown[][]> => await rowsOf(place.lake, root, engine)
const texts = async (place: Place, at = root): Promise<string[][]> =>
  (await rowsOf(place.lake, at, engine)).map((row) => row.map(String))
const quarantined = async (place: Place): Promise<unknown[][]> =>
  (await rowsOf(place.lake, `${root}__quarantine`, engine)).map((row) => [
    ...row.slice(0, 4),
    row[4] === null ? null : Number(row[4]),
    row[7],
  ])

test('trap: by default no value becomes another: the table stops, names it, and goes on when told how', async () => {
  const place = await placeWith([[whole(1, 'a')]])
  expect((await update(place)).failedTables).toEqual([])
  await stage(place, [change('i', 1, whole(2, 'b'))])
  await stage(place, [
    change('i', 2, odd(3)),
    change('u', 2, [...odd(3).slice(0, 2), ...whole(3, 'c').slice(2)], 1),
  ])
  const { failedTables } = await update(place)
  expect(failedTables).toMatchObject([{ problem: { code: 'DESTINATION_VALUE_UNFIT' } }])
  const message = failedTables[0]?.problem?.message ?? ''
  expect(message).toContain('column "day" has 2 values')
  expect(message).toContain('column "price" has 1 value that')
  expect(message).toContain('sluice.unfitValues')
  expect(await rows(place)).toHaveLength(1)
  expect((await update(place, 'null')).failedTables).toEqual([])
  expect(await texts(place)).toEqual([
    ['1', '2024-02-29', expect.anything(), expect.anything(), expect.anything(), 'a'],
    ['2', '2024-02-29', expect.anything(), expect.anything(), expect.anything(), 'b'],
    ['3', 'null', expect.anything(), expect.anything(), expect.anything(), 'c'],
  ])
})

test('a value in a copy stops it, and one in a column that is left out does not', async () => {
  const place = await placeWith([[whole(1, 'a')], [odd(2)]])
  expect((await update(place)).failedTables).toMatchObject([
    { problem: { code: 'DESTINATION_VALUE_UNFIT' } },
  ])
  const only = { sourceSchema: 'public', destinationCatalog: 'main', destinationSchema: 'shop' }
  const tables = [{ ...only, scdType: 'SCD_TYPE_1' as const, includeColumns: ['body'] }]
  expect((await update(place, 'fail', { tables })).failedTables).toEqual([])
  expect(await rows(place)).toEqual([
    [1, 'a'],
    [2, 'odd 2'],
  ])
})

test('null, clamp and string: a copy and the log give the same', async () => {
  const expected: Partial<Record<UnfitPolicy, readonly string[]>> = {
    null: ['null', 'null', 'null', 'null'],
    clamp: ['9999-12-31', '0001-01-01 00:00:00+00', '0001-01-01 00:00:00', 'null'],
    string: ['infinity', '0044-03-15 00:00:00+00 BC', '-infinity', 'NaN'],
  }
  for (const policy of ['null', 'clamp', 'string'] as const) {
    const place = await placeWith([[whole(1, 'a')], [odd(2), whole(3, 'c')]])
    expect((await update(place, policy)).failedTables).toEqual([])
    await stage(place, [change('i', 1, odd(4)), change('u', 1, odd(3), 1)])
    await stage(place, [change('u', 2, [4, absent, absent, absent, absent, 'kept'])])
    expect((await update(place, policy)).failedTables).toEqual([])
    const cells = expected[policy] ?? []
    const whole1 = ['2024-02-29', '2024-02-29 12:00:00.5+00', '2024-02-29 12:00:00.5', '-0.0500']
    const plain = policy === 'string' ? whole1 : [...whole1.slice(0, 3), expect.anything()]
    expect(await texts(place), policy).toEqual([
      ['1', ...plain, 'a'],
      ['2', ...cells, 'odd 2'],
      ['3', ...cells, 'odd 3'],
      ['4', ...cells, 'kept'],
    ])
  }
})

test('quarantine: the row is elsewhere, with its reason, until a version of it fits', async () => {
  const place = await placeWith([[whole(1, 'a'), odd(2)]])
  expect((await update(place, 'quarantine')).failedTables).toEqual([])
  expect((await rows(place)).map(([id]) => id)).toEqual([1])
  expect(await quarantined(place)).toEqual([
    ['{"id":2}', 'at:1', '0044-03-15 00:00:00+00 BC', 'r', null, 'does not fit timestamp'],
    ['{"id":2}', 'day', 'infinity', 'r', null, 'does not fit date'],
    ['{"id":2}', 'local', '-infinity', 'r', null, 'does not fit timestamp_ntz'],
    ['{"id":2}', 'price', 'NaN', 'r', null, 'does not fit decimal'],
  ])
  const bad = (id: number): Cell[] => [id, unfit('infinity'), ...whole(id, 'x').slice(2)]
  await stage(place, [
    change('u', 1, bad(1)),
    change('i', 1, bad(5), 1),
    change('u', 1, whole(2, 'b'), 2),
  ])
  await update(place, 'quarantine')
  expect((await rows(place)).map(([id]) => id)).toEqual([2])
  await stage(place, [
    // Keeps cells of rows that are in quarantine: 1 there since before, 5 since this update.
    change('u', 2, [1, day, absent, absent, absent, 'a2']),
    change('u', 2, [5, day, absent, absent, absent, absent], 1),
    change('i', 2, whole(6, 'f'), 2),
  ])
  await update(place, 'quarantine')
  expect((await rows(place)).map(([id]) => id)).toEqual([2, 6])
  await stage(place, [
    change('u', 3, whole(1, 'a3')),
    change('d', 3, [5, absent, absent, absent, absent, absent], 1),
  ])
  expect((await update(place, 'quarantine')).failedTables).toEqual([])
  expect((await rows(place)).map((row) => [row[0], row[5]])).toEqual([
    [1, 'a3'],
    [2, 'b'],
    [6, 'f'],
  ])
  expect((await quarantined(place)).filter((row) => row[3] !== 'r')).toEqual([
    ['{"id":1}', 'day', 'infinity', 'u', 1, 'does not fit date'],
    ['{"id":1}', null, null, 'u', 2, 'keeps cells of a row in quarantine'],
    ['{"id":5}', 'day', 'infinity', 'i', 1, 'does not fit date'],
    ['{"id":5}', null, null, 'u', 2, 'keeps cells of a row in quarantine'],
  ])
})

test('quarantine: cells kept from a version of the same update are known, unless they did not fit', async () => {
  const bad = (id: number): Cell[] => [id, unfit('infinity'), ...whole(id, 'x').slice(2)]
  const place = await placeWith(
    [[whole(1, 'a')]],
    [
      [
        change('i', 1, bad(2)),
        change('u', 1, [2, day, absent, absent, absent, 'kept'], 1),
        change('i', 1, bad(3), 2),
        change('u', 1, [3, absent, instant, instant, 1n, 'day is still infinite'], 3),
        change('d', 2, [1, absent, absent, absent, absent, absent]),
        change('i', 2, [4, absent, instant, instant, 1n, absent], 1),
      ],
    ],
  )
  expect((await update(place, 'quarantine')).failedTables).toEqual([])
  expect((await rows(place)).map((row) => [row[0], row[5]])).toEqual([
    [2, 'kept'],
    [4, 'a'],
  ])
  expect(await quarantined(place)).toEqual([
    ['{"id":2}', 'day', 'infinity', 'i', 1, 'does not fit date'],
    ['{"id":3}', 'day', 'infinity', 'i', 1, 'does not fit date'],
    ['{"id":3}', null, null, 'u', 1, 'keeps cells of a row in quarantine'],
  ])
})

test('a stop between quarantine and destination leaves no row in neither, and none twice', async () => {
  const bad = (id: number): Cell[] => [id, unfit('infinity'), ...whole(id, 'x').slice(2)]
  const place = await placeWith([[whole(1, 'a')]])
  await update(place, 'quarantine')
  await stage(place, [change('i', 1, bad(2))])
  const failpoints = {
    hit(name: string): void {
      if (name === 'destination.before-commit') throw new Error('stop')
    },
  }
  const stopped = await update(place, 'quarantine', { failpoints })
  expect(stopped.failedTables).toHaveLength(1)
  expect(await quarantined(place)).toHaveLength(1)
  await stage(place, [change('i', 2, bad(3)), change('i', 2, whole(4, 'd'), 1)])
  expect((await update(place, 'quarantine')).failedTables).toEqual([])
  expect((await quarantined(place)).map((row) => [row[0], row[4]])).toEqual([
    ['{"id":2}', 1],
    ['{"id":3}', 2],
  ])
  expect((await rows(place)).map(([id]) => id)).toEqual([1, 4])
})

test('another policy loads the table anew from its copy, whatever it held', async () => {
  const place = await placeWith([[whole(1, 'a'), odd(2)]], [[change('i', 1, odd(3))]])
  for (const policy of ['null', 'quarantine', 'clamp', 'string', 'null'] as const) {
    expect((await update(place, policy)).failedTables, policy).toEqual([])
    const days = (await texts(place)).map((row) => row[1])
    const shown = { null: 'null', clamp: '9999-12-31', string: 'infinity' }
    expect(days, policy).toEqual(
      policy === 'quarantine' ? ['2024-02-29'] : ['2024-02-29', shown[policy], shown[policy]],
    )
    expect((await update(place, policy)).committedTables).toBe(0)
  }
  expect((await update(place, 'fail')).failedTables).toMatchObject([
    { problem: { code: 'DESTINATION_VALUE_UNFIT' } },
  ])
  expect(await rows(place)).toHaveLength(3)
})

test('append-only: what another policy makes of a change comes after that change', async () => {
  const place = await placeWith([[whole(1, 'a')]], [[change('i', 1, odd(3))]])
  const base = { sourceSchema: 'public', destinationCatalog: 'main', destinationSchema: 'shop' }
  const options = { tables: [{ ...base, scdType: 'APPEND_ONLY' as const }] }
  const order = ([, , , , , , , , sequence, ordinal]: string[]): number =>
    Number(sequence) * 2 ** 32 + Number(ordinal)
  for (const policy of ['null', 'clamp', 'null'] as const) {
    expect((await update(place, policy, options)).failedTables, policy).toEqual([])
    const own = (await texts(place)).filter(([id]) => id === '3')
    const last = own.toSorted((a, b) => order(a) - order(b)).at(-1)
    expect(last?.[1], policy).toBe(policy === 'null' ? 'null' : '9999-12-31')
  }
})

test('history: every policy makes versions and change rows, quarantine ends what it takes away', async () => {
  const bad = (id: number): Cell[] => [id, unfit('infinity'), ...whole(id, 'x').slice(2)]
  const base = { sourceSchema: 'public', destinationCatalog: 'main', destinationSchema: 'shop' }
  const make = async (): Promise<Place> =>
    placeWith(
      [[whole(1, 'a'), bad(2)]],
      [
        [
          change('u', 1, bad(1)),
          change('u', 2, [1, absent, instant, instant, 1n, 'kept']),
          change('u', 3, whole(1, 'c')),
          change('i', 3, bad(3), 1),
        ],
      ],
    )
  for (const policy of ['null', 'clamp', 'string'] as const) {
    const place = await make()
    const tables = [{ ...base, scdType: 'SCD_TYPE_2' as const }]
    expect((await update(place, policy, { tables })).failedTables).toEqual([])
    const shown = { null: 'null', clamp: '9999-12-31', string: 'infinity' }[policy]
    expect((await texts(place)).map((row) => `${row[0]} ${row[1]} ${row[5]}`).toSorted()).toEqual([
      '1 2024-02-29 a',
      '1 2024-02-29 c',
      `1 ${shown} kept`,
      `1 ${shown} x`,
      `2 ${shown} x`,
      `3 ${shown} x`,
    ])
  }
  const place = await make()
  const versions = [{ ...base, scdType: 'SCD_TYPE_2' as const }]
  expect((await update(place, 'quarantine', { tables: versions })).failedTables).toEqual([])
  expect((await texts(place)).map((row) => [row[0], row[5], row[7] === 'null'])).toEqual([
    ['1', 'a', false],
    ['1', 'c', true],
  ])
  const apart = (await quarantined(place)).map((row) => `${String(row[0])} ${String(row[5])}`)
  expect(apart.toSorted()).toEqual([
    '{"id":1} does not fit date',
    '{"id":1} keeps cells of a row in quarantine',
    '{"id":2} does not fit date',
    '{"id":3} does not fit date',
  ])
  const other = await make()
  const log = [{ ...base, scdType: 'APPEND_ONLY' as const }]
  expect((await update(other, 'quarantine', { tables: log })).failedTables).toEqual([])
  expect((await texts(other)).map((row) => `${row[0]} ${row[6]}`).toSorted()).toEqual([
    '1 delete',
    '1 delete',
    '1 insert',
    '1 update',
    '3 delete',
  ])
})

const keyed = schemaOf({ day: { kind: 'date' }, body: { kind: 'string' } }, ['day'])

test('trap: two keys that do not fit are never taken for one', async () => {
  const make = async (): Promise<Place> => {
    const place = await openPlace(join(folder, `p${places++}`))
    const { source } = place
    const copy = [
      [
        [day, 'plain'],
        [unfit('infinity'), 'late'],
      ],
    ]
    await source.publish([
      await source.table('9', 't', keyed),
      ...(await source.snapshot('9', keyed, copy)),
    ])
    const changes = [
      change('i', 1, [unfit('-infinity'), 'early']),
      change('u', 2, [unfit('infinity'), 'later']),
      change('d', 3, [unfit('-infinity'), absent]),
      change('i', 3, [unfit('0001-01-01 BC'), absent], 1),
    ]
    await source.publish([await source.changes('9', keyed, changes)])
    return place
  }
  for (const policy of ['null', 'clamp'] as const) {
    expect((await update(await make(), policy)).failedTables, policy).toMatchObject([
      { problem: { code: 'DESTINATION_KEY_UNFIT' } },
    ])
  }
  const place = await make()
  expect((await update(place, 'string')).failedTables).toEqual([])
  expect(await rows(place)).toEqual([
    ['0001-01-01 BC', 'early'],
    ['2024-02-29', 'plain'],
    ['infinity', 'later'],
  ])
  const other = await make()
  expect((await update(other, 'quarantine')).failedTables).toEqual([])
  expect((await rows(other)).map(([, body]) => body)).toEqual(['plain'])
  expect((await quarantined(other)).map((row) => [row[0], row[3]])).toEqual([
    ['{"day":"-infinity"}', 'd'],
    ['{"day":"-infinity"}', 'i'],
    ['{"day":"0001-01-01 BC"}', 'i'],
    ['{"day":"infinity"}', 'r'],
    ['{"day":"infinity"}', 'u'],
  ])
})
