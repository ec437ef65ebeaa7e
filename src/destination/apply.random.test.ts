/** Random histories of a table, applied in random portions, against a plain map. */
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
  sortRows,
  type Place,
} from '../../test/support/pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import type { Failpoints } from '../base/failpoint.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { ManifestEntry } from '../staging/manifest.ts'
import { createFaultyStorage } from '../storage/faulty-storage.ts'

let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-random-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
/** Names that hide the engine's own columns are part of the test. */
const schema = schemaOf(
  {
    file_row_number: { kind: 'int32' },
    Key: { kind: 'string' },
    body: { kind: 'string' },
    list: { kind: 'array', element: { kind: 'int32' } },
    n: { kind: 'int64' },
  },
  ['file_row_number', 'Key'],
)
const root = 'main/shop/t'

type Wish =
  | { readonly kind: 'insert' | 'delete'; readonly key: number }
  | { readonly kind: 'update'; readonly key: number; readonly keeps: readonly number[] }
  | {
      readonly kind: 'move'
      readonly key: number
      readonly to: number
      readonly keeps: readonly number[]
    }
  | { readonly kind: 'truncate' | 'cut' | 'commit' | 'apply' | 'snapshot' }

const key = fc.nat(11)
const keeps = fc.subarray([2, 3, 4])
const wishes: fc.Arbitrary<Wish[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('insert' as const), key }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('update' as const), key, keeps }) },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('move' as const), key, to: key, keeps }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('cut' as const, 'commit' as const, 'apply' as const),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('truncate' as const, 'snapshot' as const) }),
    },
  ),
  { minLength: 5, maxLength: 60 },
)

const texts = ['', 'a', 'ä\u0000', 'A', '\u{1f600}', 'a ']
const keyCells = (number: number): [number, string] => [
  Math.floor(number / 6) * 700_000_000 - 3,
  texts[number % texts.length] ?? '',
]

/** Keeps the rows a source would have and stages what it would have sent. */
class History {
  readonly rows = new Map<string, readonly Cell[]>()
  readonly #place: Place
  #changes: StagedChange[] = []
  #entries: ManifestEntry[] = []
  #sequence = 1
  #ordinal = 0
  #values = 0
  #snapshotId = 0

  constructor(place: Place) {
    this.#place = place
  }

  async begin(): Promise<void> {
    this.#entries.push(await this.#place.source.table('9', 't', schema))
    await this.snapshot()
  }

  async take(wish: Wish): Promise<void> {
    if (wish.kind === 'truncate') {
      await this.cut()
      const position = { sequence: String(this.#sequence), ordinal: this.#ordinal++ }
      const head = { kind: 'truncate' as const, table_id: '9', snapshot_id: this.#snapshotId }
      this.#entries.push({ ...head, ...position })
      this.rows.clear()
    } else if (wish.kind === 'cut') await this.cut()
    else if (wish.kind === 'snapshot') await this.snapshot()
    else if ('key' in wish) this.#change(wish)
    if (this.#ordinal > 5) this.#nextTransaction()
  }

  #change(wish: Extract<Wish, { key: number }>): void {
    const at = String(wish.key)
    const row = this.rows.get(at)
    if (wish.kind === 'insert' && row === undefined) {
      this.#write('i', wish.key, this.#freshRow(wish.key), [])
    } else if (wish.kind === 'delete' && row !== undefined) {
      this.#add('d', [...keyCells(wish.key), absent, absent, absent])
      this.rows.delete(at)
    } else if (wish.kind === 'update' && row !== undefined) {
      this.#write('u', wish.key, this.#changedRow(row, wish.key, wish.keeps), wish.keeps)
    } else if (wish.kind === 'move' && row !== undefined) {
      if (wish.to !== wish.key && this.rows.has(String(wish.to))) return
      this.#add('d', [...keyCells(wish.key), null, null, null])
      this.rows.delete(at)
      this.#write('i', wish.to, this.#changedRow(row, wish.to, wish.keeps), wish.keeps)
    }
  }

  #freshRow(number: number): Cell[] {
    const value = this.#values++
    const body = value % 4 === 0 ? null : `body ${value}`
    const list = value % 3 === 0 ? null : [value, null]
    return [...keyCells(number), body, list, BigInt(value) * 4_000_000_000n]
  }

  #changedRow(row: readonly Cell[], number: number, kept: readonly number[]): Cell[] {
    return this.#freshRow(number).map((cell, column) =>
      kept.includes(column) ? (row[column] ?? null) : cell,
    )
  }

  #write(op: 'i' | 'u', number: number, row: readonly Cell[], kept: readonly number[]): void {
    this.rows.set(String(number), row)
    this.#add(
      op,
      row.map((cell, column) => (kept.includes(column) ? absent : cell)),
    )
  }

  #add(op: StagedChange['op'], cells: readonly Cell[]): void {
    this.#changes.push({ op, sequence: this.#sequence, ordinal: this.#ordinal++, cells })
  }

  #nextTransaction(): void {
    this.#sequence++
    this.#ordinal = 0
  }

  /** Ends the open change file. */
  async cut(): Promise<void> {
    if (this.#changes.length === 0) return
    const options = { snapshotId: this.#snapshotId }
    this.#entries.push(await this.#place.source.changes('9', schema, this.#changes, options))
    this.#changes = []
  }

  async snapshot(): Promise<void> {
    await this.cut()
    this.#nextTransaction()
    this.#snapshotId++
    const rows = [...this.rows.values()]
    const chunks = [rows.slice(0, 3), rows.slice(3)]
    const options = { snapshotId: this.#snapshotId }
    this.#entries.push(...(await this.#place.source.snapshot('9', schema, chunks, options)))
  }

  async publish(): Promise<void> {
    await this.cut()
    this.#nextTransaction()
    await this.#place.source.publish(this.#entries)
    this.#entries = []
  }
}

async function play(list: readonly Wish[], apply: (place: Place) => Promise<void>): Promise<void> {
  const place = await openPlace(join(folder, String(places++)))
  const history = new History(place)
  await history.begin()
  for (const wish of [...list, { kind: 'apply' as const }]) {
    await history.take(wish)
    if (wish.kind === 'commit' || wish.kind === 'apply') await history.publish()
    if (wish.kind !== 'apply') continue
    await apply(place)
    expect(await rowsOf(place.lake, root, engine)).toEqual(sortRows(history.rows.values()))
  }
}

test('every portion of any history gives the rows of the source', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (list) =>
      play(list, async (place) => {
        expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
      }),
    ),
    { numRuns: 6 },
  )
})

test('a stop or a storage fault at any step, then again: nothing lost, nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      wishes,
      fc.nat(7),
      fc.constantFrom('fail', 'torn', 'lost-response'),
      (list, step, fault) =>
        play(list, async (place) => {
          let hits = 0
          const failpoints: Failpoints = {
            hit(name) {
              if (!name.startsWith('destination.') || hits++ !== step) return
              throw new Error(`stopped at ${name}`)
            },
          }
          await pipelineOver(place, engine, { failpoints }).update({ signal })
          const faulty = createFaultyStorage(place.lake, ({ count }) =>
            count === step + 1 ? fault : undefined,
          )
          const crippled = pipelineOver({ ...place, lake: faulty }, engine)
          await crippled.update({ signal })
          const again = await crippled.update({ signal })
          expect(again.failedTables).toEqual([])
          expect((await pipelineOver(place, engine).update({ signal })).committedTables).toBe(0)
        }),
    ),
    { numRuns: 4 },
  )
})

test('pipelines that race for one table lose nothing and apply nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (list) =>
      play(list, async (place) => {
        const racers = [1, 2, 3].map(() => pipelineOver(place, engine).update({ signal }))
        for (const result of await Promise.all(racers)) expect(result.failedTables).toEqual([])
      }),
    ),
    { numRuns: 6 },
  )
})
