/** Random histories of a table, applied in random portions, against a plain model of each kind. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { absent, type Cell } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  wholeSchema,
  type Place,
} from '../../test/support/pipeline-fixtures.ts'
import { History, wishes, type HistoryEvent, type Wish } from '../../test/support/staged-history.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'

let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-kinds-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
const root = 'main/shop/t'
/** The clock of the staging fixtures. */
const takenAtUs = 1_700_000_000_000_000n

const keyOf = (cells: readonly Cell[]): string => JSON.stringify(cells.slice(0, 2))
const textOf = (cells: readonly Cell[]): string =>
  JSON.stringify(cells, (_, cell: unknown) => (typeof cell === 'bigint' ? `${cell}n` : cell))
const timeText = (us: bigint | undefined): string | null => {
  if (us === undefined) return null
  const iso = new Date(Number(us / 1000n)).toISOString().replace('T', ' ').replace('Z', '')
  const text = `${iso}${String(us % 1000n).padStart(3, '0')}`
  return `${text.replace(/\.?0+$/, '')}+00`
}

/** Only the newest copy and what came on top of it is ever applied. */
function appliedOf(events: readonly HistoryEvent[]): readonly HistoryEvent[] {
  return events.slice(
    Math.max(
      0,
      events.findLastIndex(({ kind }) => kind === 'copy'),
    ),
  )
}

interface Version {
  readonly cells: readonly Cell[]
  readonly start: bigint
  end: bigint | undefined
}

/** SCD type 2 as one would write it down: transaction by transaction, row by row. */
class VersionsModel {
  readonly versions: Version[] = []
  #clock = 0n

  apply(events: readonly HistoryEvent[]): void {
    let rest = appliedOf(events)
    const first = rest[0]
    if (first?.kind === 'copy') {
      const at = takenAtUs > this.#clock ? takenAtUs : this.#clock + 1n
      this.#become(new Map(first.rows.map((cells) => [keyOf(cells), cells])), at)
      this.#clock = at
      rest = rest.slice(1)
    }
    while (rest.length > 0) {
      const sequence = rest[0]?.kind === 'copy' ? 0 : (rest[0]?.sequence ?? 0)
      const end = rest.findIndex((event) => event.kind === 'copy' || event.sequence !== sequence)
      const transaction = end < 0 ? rest : rest.slice(0, end)
      rest = end < 0 ? [] : rest.slice(end)
      this.#transaction(transaction)
    }
  }

  #transaction(events: readonly HistoryEvent[]): void {
    const next = this.#open()
    let time = 0n
    for (const event of events) {
      if (event.kind === 'copy') continue
      time = event.timeUs
      if (event.kind === 'truncate') next.clear()
      else if (event.op === 'd') next.delete(keyOf(event.cells))
      else next.set(keyOf(event.cells), event.cells)
    }
    this.#clock = time > this.#clock ? time : this.#clock + 1n
    this.#become(next, this.#clock)
  }

  #open(): Map<string, readonly Cell[]> {
    const open = this.versions.filter(({ end }) => end === undefined)
    return new Map(open.map(({ cells }) => [keyOf(cells), cells]))
  }

  #become(next: ReadonlyMap<string, readonly Cell[]>, at: bigint): void {
    const left = new Map(next)
    for (const version of this.versions) {
      if (version.end !== undefined) continue
      const cells = left.get(keyOf(version.cells))
      if (cells !== undefined && textOf(cells) === textOf(version.cells)) {
        left.delete(keyOf(version.cells))
      } else version.end = at
    }
    for (const cells of left.values()) this.versions.push({ cells, start: at, end: undefined })
  }
}

/** One row per change; a copy adds what it takes to get from what was known to it. */
class LogModel {
  readonly rows: unknown[][] = []
  readonly #known = new Map<string, readonly Cell[]>()

  apply(events: readonly HistoryEvent[]): void {
    for (const event of appliedOf(events)) {
      if (event.kind === 'copy') this.#copy(event.rows)
      else if (event.kind === 'truncate') {
        this.#known.clear()
        this.#add([null, null, null, null, null], 'truncate')
      } else {
        const key = keyOf(event.cells)
        const types = { r: 'insert', i: 'insert', u: 'update', d: 'delete' }
        this.#add(event.cells, types[event.op])
        if (event.op === 'd') this.#known.delete(key)
        else this.#known.set(key, event.cells)
      }
    }
  }

  #copy(rows: readonly (readonly Cell[])[]): void {
    const next = new Map(rows.map((cells) => [keyOf(cells), cells]))
    for (const [key, cells] of next) {
      const before = this.#known.get(key)
      if (before === undefined) this.#add(cells, 'insert')
      else if (textOf(before) !== textOf(cells)) this.#add(cells, 'update')
      this.#known.set(key, cells)
    }
    for (const [key, cells] of this.#known) {
      if (next.has(key)) continue
      this.#add(cells, 'delete')
      this.#known.delete(key)
    }
  }

  #add(cells: readonly Cell[], type: string): void {
    this.rows.push([...cells, type])
  }
}

/** Live rows as sorted texts. */
const sorted = (rows: readonly (readonly unknown[])[]): readonly string[] =>
  rows.map((row) => textOf(row as readonly Cell[])).toSorted()

async function play(
  list: readonly Wish[],
  options: {
    readonly back: (n: number) => boolean
    readonly apply: (place: Place) => Promise<void>
    readonly check: (
      events: readonly HistoryEvent[],
      place: Place,
      history: History,
    ) => Promise<void>
  },
): Promise<void> {
  const place = await openPlace(join(folder, String(places++)))
  const history = new History(place)
  await history.begin()
  let step = 0
  for (const wish of [...list, { kind: 'apply' as const }]) {
    await history.take(wish)
    if (wish.kind === 'commit' || wish.kind === 'apply') {
      await history.publish()
      // The source's clock stands still inside a staged commit, and goes back now and then.
      if (options.back(step++)) place.source.commitTimeUs -= 3_000_000n
    }
    if (wish.kind !== 'apply') continue
    await options.apply(place)
    await options.check(history.takeEvents(), place, history)
  }
}

const update =
  (scdType: 'SCD_TYPE_2' | 'APPEND_ONLY') =>
  async (place: Place): Promise<void> => {
    const options = { tables: [{ ...wholeSchema, scdType }] }
    const pipeline = pipelineOver(place, engine, options)
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
    expect((await pipelineOver(place, engine, options).update({ signal })).committedTables).toBe(0)
  }

test('SCD type 2: every portion of any history gives the versions of the model', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, fc.func(fc.boolean()), async (list, back) => {
      const model = new VersionsModel()
      await play(list, {
        back,
        apply: update('SCD_TYPE_2'),
        check: async (events, place) => {
          model.apply(events)
          const expected = model.versions.map(({ cells, start, end }) => [
            ...cells,
            timeText(start),
            timeText(end),
          ])
          expect(sorted(await rowsOf(place.lake, root, engine))).toEqual(sorted(expected))
        },
      })
    }),
    { numRuns: 8 },
  )
})

test('append-only: every portion of any history gives the changes of the model', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, async (list) => {
      const model = new LogModel()
      await play(list, {
        back: () => false,
        apply: update('APPEND_ONLY'),
        check: async (events, place) => {
          model.apply(events)
          const rows = (await rowsOf(place.lake, root, engine)).map((row) => row.slice(0, 6))
          expect(sorted(rows)).toEqual(sorted(model.rows))
        },
      })
    }),
    { numRuns: 8 },
  )
})

test('a zero keeps its sign in every kind, and a change of it is a change', async () => {
  const place = await openPlace(join(folder, String(places++)))
  const schema = schemaOf(
    {
      id: { kind: 'int32' },
      f: { kind: 'float64' },
      g: { kind: 'float32' },
      l: { kind: 'array', element: { kind: 'float32' } },
      body: { kind: 'string' },
    },
    ['id'],
  )
  const row = (f: number, l: number, body: Cell): Cell[] => [1, f, -0, [l], body]
  await place.source.publish([
    await place.source.table('9', 't', schema),
    ...(await place.source.snapshot('9', schema, [[row(-0, -0, 'kept'), [2, -0, 0, [-0], 'x']]])),
  ])
  await update('SCD_TYPE_2')(place)
  const changes: StagedChange[] = [
    { op: 'u', sequence: 1, ordinal: 0, cells: row(0, -0, absent) },
    { op: 'u', sequence: 2, ordinal: 0, cells: row(0, 0, absent) },
    { op: 'u', sequence: 3, ordinal: 0, cells: row(-0, -0, absent) },
    { op: 'u', sequence: 3, ordinal: 1, cells: row(0, 0, absent) },
    { op: 'u', sequence: 4, ordinal: 0, cells: row(-0, -0, absent) },
  ]
  await place.source.publish([await place.source.changes('9', schema, changes)])
  await update('SCD_TYPE_2')(place)
  const signs = (rows: readonly (readonly unknown[])[]): unknown[] =>
    rows.map(([id, f, g, l, body]) => [id, ...[f, g, ...(l as number[])].map(signOf), body])
  const versions = (await rowsOf(place.lake, root, engine)).toSorted((a, b) =>
    String(a[5]) < String(b[5]) ? -1 : 1,
  )
  expect(signs(versions.filter(([id]) => id === 1))).toEqual([
    [1, '-', '-', '-', 'kept'],
    [1, '+', '-', '-', 'kept'],
    [1, '+', '-', '+', 'kept'],
    [1, '-', '-', '-', 'kept'],
  ])
  expect(signs(versions.filter(([id]) => id === 2))).toEqual([[2, '-', '+', '-', 'x']])
})

test('trap: zeros of both signs in one file stay apart', async () => {
  const place = await openPlace(join(folder, String(places++)))
  const schema = schemaOf(
    {
      id: { kind: 'int32' },
      f: { kind: 'float64' },
      g: { kind: 'float32' },
      l: { kind: 'array', element: { kind: 'float32' } },
    },
    ['id'],
  )
  const rows = Array.from({ length: 3000 }, (_, id): Cell[] => {
    const [zero, other] = id % 2 === 0 ? [0, -0] : [-0, 0]
    return [id, zero, other, [zero]]
  })
  await place.source.publish([
    await place.source.table('9', 't', schema),
    ...(await place.source.snapshot('9', schema, [[]])),
    await place.source.changes(
      '9',
      schema,
      rows.map((cells, ordinal) => ({ op: 'i', sequence: 1, ordinal, cells })),
    ),
  ])
  expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
  const signs = (all: readonly (readonly unknown[])[]): unknown[] =>
    all.map(([id, f, g, l]) => [id, ...[f, g, ...(l as number[])].map(signOf)])
  expect(signs(await rowsOf(place.lake, root, engine))).toEqual(signs(rows))
})

test('trap: a key of lists keeps the signs of its zeros where rows are sorted by it', async () => {
  const place = await openPlace(join(folder, String(places++)))
  const columns = {
    l: { kind: 'array', element: { kind: 'float64' } },
    n: { kind: 'int32' },
  } as const
  const schema = schemaOf(columns, ['l'])
  const insert = (l: readonly number[], ordinal: number): StagedChange => ({
    op: 'i',
    sequence: 1,
    ordinal,
    cells: [l, ordinal],
  })
  await place.source.publish([
    await place.source.table('9', 't', schema),
    ...(await place.source.snapshot('9', schema, [[]])),
    await place.source.changes('9', schema, [insert([-0], 0), insert([0, -0], 1), insert([], 2)]),
  ])
  expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
  const rows = await rowsOf(place.lake, root, engine)
  const signs = rows.map(([l, n]) => [(l as number[]).map(signOf).join(''), n])
  expect(signs.toSorted((a, b) => Number(a[1]) - Number(b[1]))).toEqual([
    ['-', 0],
    ['+-', 1],
    ['', 2],
  ])
})

const signOf = (value: unknown): string => (Object.is(value, -0) ? '-' : '+')
