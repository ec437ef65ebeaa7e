/** Random histories of one table: keeps the rows a source would have and stages what it would send. */
import fc from 'fast-check'
import type { ManifestEntry } from '../../src/staging/manifest.ts'
import { absent, type Cell } from './cells.ts'
import type { Place } from './pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from './staged-source.ts'

/** Names that hide the engine's own columns are part of the test. */
export const historySchema = schemaOf(
  {
    file_row_number: { kind: 'int32' },
    Key: { kind: 'string' },
    body: { kind: 'string' },
    list: { kind: 'array', element: { kind: 'int32' } },
    n: { kind: 'int64' },
  },
  ['file_row_number', 'Key'],
)
export type Wish =
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
export const wishes: fc.Arbitrary<Wish[]> = fc.array(
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
/** What happened, in order; `cells` are whole but for a delete, which has its key only. */
export type HistoryEvent =
  | {
      readonly kind: 'change'
      readonly op: StagedChange['op']
      readonly sequence: number
      readonly ordinal: number
      readonly timeUs: bigint
      readonly cells: readonly Cell[]
    }
  | {
      readonly kind: 'truncate'
      readonly sequence: number
      readonly ordinal: number
      readonly timeUs: bigint
    }
  | { readonly kind: 'copy'; readonly rows: readonly (readonly Cell[])[] }

export class History {
  readonly rows = new Map<string, readonly Cell[]>()
  /** Everything since the last `takeEvents`. */
  #events: HistoryEvent[] = []
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
    this.#entries.push(await this.#place.source.table('9', 't', historySchema))
    await this.snapshot()
  }

  async take(wish: Wish): Promise<void> {
    if (wish.kind === 'truncate') {
      await this.cut()
      const position = { sequence: String(this.#sequence), ordinal: this.#ordinal++ }
      const head = { kind: 'truncate' as const, table_id: '9', snapshot_id: this.#snapshotId }
      const timeUs = this.#place.source.commitTimeUs
      this.#entries.push({ ...head, ...position, commit_time_us: String(timeUs) })
      this.#events.push({
        kind: 'truncate',
        sequence: this.#sequence,
        ordinal: position.ordinal,
        timeUs,
      })
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
      const cells: Cell[] = [...keyCells(wish.key), absent, absent, absent]
      this.#add('d', cells, [...keyCells(wish.key), null, null, null])
      this.rows.delete(at)
    } else if (wish.kind === 'update' && row !== undefined) {
      this.#write('u', wish.key, this.#changedRow(row, wish.key, wish.keeps), wish.keeps)
    } else if (wish.kind === 'move' && row !== undefined) {
      if (wish.to !== wish.key && this.rows.has(String(wish.to))) return
      const cells = [...keyCells(wish.key), null, null, null]
      this.#add('d', cells, cells)
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
    const cells = row.map((cell, column) => (kept.includes(column) ? absent : cell))
    this.#add(op, cells, row)
  }

  #add(op: StagedChange['op'], cells: readonly Cell[], whole: readonly Cell[]): void {
    this.#events.push({
      kind: 'change',
      op,
      sequence: this.#sequence,
      ordinal: this.#ordinal,
      timeUs: this.#place.source.commitTimeUs,
      cells: whole,
    })
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
    this.#entries.push(await this.#place.source.changes('9', historySchema, this.#changes, options))
    this.#changes = []
  }

  async snapshot(): Promise<void> {
    await this.cut()
    this.#nextTransaction()
    this.#snapshotId++
    const rows = [...this.rows.values()]
    this.#events.push({ kind: 'copy', rows })
    const chunks = [rows.slice(0, 3), rows.slice(3)]
    const options = { snapshotId: this.#snapshotId }
    this.#entries.push(...(await this.#place.source.snapshot('9', historySchema, chunks, options)))
  }

  takeEvents(): readonly HistoryEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  async publish(): Promise<void> {
    await this.cut()
    this.#nextTransaction()
    await this.#place.source.publish(this.#entries)
    this.#entries = []
  }
}
