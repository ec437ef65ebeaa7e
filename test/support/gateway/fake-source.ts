/** A source over a FakeDatabase. Positions are counts of transactions in its log. */
import { BytesBuilder, Int32Builder } from '../../../src/columnar/column-builder.ts'
import type { ChangeSink, RowTarget, SnapshotSink } from '../../../src/source/change-sink.ts'
import type { Finding } from '../../../src/source/finding.ts'
import type {
  BeginSnapshotOptions,
  Incarnation,
  Position,
  PreparedSource,
  ResumedSnapshot,
  SnapshotPoint,
  Source,
  SourceHealth,
  SourceState,
  StreamEnd,
  StreamOptions,
  TableSnapshot,
  UnfinishedCopy,
} from '../../../src/source/source.ts'
import { SluiceError } from '../../../src/base/errors.ts'
import type { SourceTable } from '../../../src/source/table-schema.ts'
import type { Change, FakeDatabase, Row, Transaction } from './fake-database.ts'

export interface FakeSourceOptions {
  readonly database: FakeDatabase
  /** Called wherever other things may happen: writers write, processes die (it throws). */
  readonly step: (name: string) => Promise<void>
  /** Rows after which the decoder asks for pressure; a coarse decoder asks seldom. */
  readonly pressureEvery?: number
  readonly chunks?: number
  readonly findings?: readonly Finding[]
  readonly incarnation?: string
  /** The server was promoted: from this count on its log is another one. */
  readonly branchedAt?: number
  readonly health?: () => SourceHealth
  /** Its stream ends by itself, without an error, when everything was delivered. */
  readonly endsAlone?: boolean
  readonly onAcknowledge?: (position: number) => void
}

/** Every row version has a place, another one after every change, as in a heap. */
const slotCount = 12

/** Places from `from` (inclusive) to `to` (exclusive), read as of that point of the copy; -1: never. */
interface Part {
  readonly from: number
  to: number
  readonly asOf: number
}

interface PlacedRow {
  readonly row: Row
  /** Of the transaction that wrote it. */
  readonly tag: number
  readonly slot: number
}

interface Taken {
  readonly table: SourceTable
  readonly point: string
  /** Another one after every truncate. */
  readonly file: number
  readonly rows: readonly PlacedRow[]
}

function parsePart(range: string): { readonly file: number; from: number; to: number } {
  const [file = 0, from = 0, to = 0] = range.split(/[:-]/).map(Number)
  return { file, from, to }
}

function placesOf(
  visible: readonly Transaction[],
  tableId: string,
  rows: ReadonlyMap<number, Row>,
): Pick<Taken, 'file' | 'rows'> {
  const writers = new Map<number, number>()
  let file = 0
  for (const { tag, changes } of visible) {
    for (const change of changes) {
      if (change.op === 'truncate' && change.tables.some((id) => id === tableId)) file++
      const isOurs = 'row' in change && change.table.id === tableId
      if (isOurs) writers.set(change.row['id'] as number, tag)
    }
  }
  const placed = [...rows].map(([id, row]) => {
    const tag = writers.get(id) ?? 0
    return { row, tag, slot: (tag * 7 + id * 5) % slotCount }
  })
  return { file, rows: placed }
}

export function positionOf(count: number): Position {
  return String(count) as Position
}

export class FakeSource implements Source {
  readonly #options: FakeSourceOptions
  #rowsToPressure: number
  /** Copies begun and resumed so far, by table id. */
  readonly copies: string[] = []
  readonly resumed: string[] = []
  /** Chunks whose reading began: table, range, `again` for a refresh. */
  readonly chunksRead: string[] = []
  acknowledged = -1

  constructor(options: FakeSourceOptions) {
    this.#options = options
    this.#rowsToPressure = options.pressureEvery ?? 1
  }

  async check(): Promise<readonly Finding[]> {
    await this.#options.step('check')
    return this.#options.findings ?? []
  }

  async discoverTables(schemas: readonly string[]): Promise<readonly SourceTable[]> {
    await this.#options.step('discover')
    const tables = [...this.#options.database.tables.values()]
    return tables.filter((table) => schemas.includes(table.name.schema))
  }

  async describeTable(id: string): Promise<SourceTable | undefined> {
    await this.#options.step('describe')
    return this.#options.database.tables.get(id)
  }

  async prepare(
    _tables: readonly SourceTable[],
    saved: SourceState | undefined,
  ): Promise<PreparedSource> {
    await this.#options.step('prepare')
    // What was committed before a process began is visible to it: only the stream can be ahead.
    this.#options.database.showAll()
    const incarnation = (this.#options.incarnation ?? 'one') as Incarnation
    if (saved === undefined) return { incarnation, position: await this.currentPosition() }
    if (saved.incarnation !== incarnation) {
      throw new SluiceError('INTERNAL_ERROR', 'another incarnation')
    }
    const { branchedAt } = this.#options
    return branchedAt === undefined ? saved : { ...saved, branchedAt: positionOf(branchedAt) }
  }

  async currentPosition(): Promise<Position> {
    return positionOf(this.#options.database.log.length)
  }

  async canBeginCopy(): Promise<boolean> {
    return true
  }

  async beginSnapshot(table: SourceTable, options: BeginSnapshotOptions): Promise<TableSnapshot> {
    const taken = await this.#take(table, options)
    this.copies.push(table.id)
    await this.#options.step('snapshot')
    const whole = { from: 0, to: slotCount, asOf: -1 }
    return this.#snapshot(taken, this.#split(whole, taken))
  }

  async resumeSnapshot(
    table: SourceTable,
    copy: UnfinishedCopy,
    options: BeginSnapshotOptions,
  ): Promise<ResumedSnapshot> {
    const taken = await this.#take(table, options)
    const known = copy.chunks.map(({ range, point }) => ({ ...parsePart(range), asOf: point }))
    if (known.some(({ file }) => file !== taken.file)) {
      return { kind: 'refused', reason: 'another file' }
    }
    this.resumed.push(table.id)
    await this.#options.step('snapshot')
    const bySlot = Array.from({ length: slotCount }, (_, slot) =>
      Math.max(
        -1,
        ...known.filter(({ from, to }) => from <= slot && slot < to).map(({ asOf }) => asOf),
      ),
    )
    const parts: Part[] = []
    for (const [slot, asOf] of bySlot.entries()) {
      const last = parts.at(-1)
      if (last?.asOf === asOf) last.to = slot + 1
      else parts.push({ from: slot, to: slot + 1, asOf })
    }
    const fresh = parts.filter(({ asOf }) => asOf < 0).flatMap((part) => this.#split(part, taken))
    const stale = parts.filter(({ asOf }) => asOf >= 0)
    const points = copy.points.map((point) => JSON.parse(point) as { tags: number[] })
    const shown = points.map(({ tags }) => new Set(tags))
    return { kind: 'resumed', snapshot: this.#snapshot(taken, [...fresh, ...stale], shown) }
  }

  async #take(table: SourceTable, { stream }: BeginSnapshotOptions): Promise<Taken> {
    const { database, step } = this.#options
    await step('lock')
    const delivered = (await stream?.take()) ?? []
    await step('before snapshot')
    const tags = new Set(delivered.map(({ tag }) => tag))
    database.showAll(({ tag }) => tags.has(tag))
    const count = database.log.length
    const isShown = (transaction: Transaction): boolean => database.isVisible(transaction)
    const visible = database.log.filter(isShown)
    const present = database.tables.get(table.id)
    if (JSON.stringify(present?.schema) !== JSON.stringify(table.schema)) {
      throw new SluiceError('INTERNAL_ERROR', 'the table has other columns by now')
    }
    const rows = database.stateAt(count, isShown).get(table.id) ?? new Map<number, Row>()
    return {
      table,
      point: JSON.stringify({ tags: visible.map(({ tag }) => tag), count }),
      ...placesOf(visible, table.id, rows),
    }
  }

  #split({ from, to, asOf }: Part, { rows }: Taken): Part[] {
    const chunks = Math.max(this.#options.chunks ?? 3, rows.length > 0 ? 1 : 0)
    if (chunks === 0) return []
    const size = Math.max(1, Math.ceil((to - from) / chunks))
    const parts: Part[] = []
    for (let at = from; at < to; at += size) {
      parts.push({ from: at, to: Math.min(to, at + size), asOf })
    }
    return parts
  }

  /** `shown`: what the earlier points of the copy show. */
  #snapshot(
    { table, point, file, rows }: Taken,
    parts: readonly Part[],
    shown: readonly ReadonlySet<number>[] = [],
  ): TableSnapshot {
    const { step } = this.#options
    return {
      point,
      chunks: parts.map(({ from, to, asOf }, id) => ({
        id,
        estimatedRows: undefined,
        range: `${file}:${from}-${to}`,
        ...(asOf < 0 ? {} : { refresh: true as const }),
      })),
      readChunk: async (chunk, sink, signal) => {
        const part = parts[chunk.id]
        if (part === undefined) throw new Error('no such chunk')
        this.chunksRead.push(`${table.id} ${chunk.range} ${chunk.refresh === true ? 'again' : ''}`)
        const known = shown[part.asOf]
        const mine = rows.filter(
          ({ slot, tag }) =>
            part.from <= slot &&
            slot < part.to &&
            // A few too many.
            (known === undefined || !known.has(tag) || tag % 3 === 0),
        )
        for (const { row } of mine) {
          await step('chunk row')
          if (signal.aborted) throw new SluiceError('ABORTED', 'the copy was stopped')
          sink.startRow('r')
          appendCells(sink, table, row, [])
          sink.endRow()
          await sink.pressure()
        }
      },
      close: async () => undefined,
    }
  }

  parseSnapshotPoint(point: string): SnapshotPoint {
    const parsed = JSON.parse(point) as { tags: number[]; count: number }
    const tags = new Set(parsed.tags)
    return {
      covers: ({ tag }) => tags.has(tag),
      isPassedBy: (position) => Number(position) >= parsed.count,
    }
  }

  async streamChanges({ from, tables, sink, signal, until }: StreamOptions): Promise<StreamEnd> {
    const { database, step } = this.#options
    const wanted = new Set<string>(tables.map(({ id }) => id))
    for (let at = Number(from); !signal.aborted;) {
      await step('stream')
      const transaction = database.log[at]
      if (until !== undefined && at >= Number(until)) {
        sink.heartbeat(until)
        return 'ended'
      }
      if (transaction === undefined) {
        sink.heartbeat(positionOf(at))
        await sink.pressure()
        if (this.#options.endsAlone === true) return 'ended'
        await new Promise((resolve) => setImmediate(resolve))
      } else {
        at++
        await this.#deliver(transaction, wanted, sink, signal)
        if (signal.aborted) return 'ended'
        sink.commit(positionOf(at))
        if (this.#isTimeForPressure()) await sink.pressure()
      }
    }
    return 'ended'
  }

  acknowledge(position: Position): void {
    if (Number(position) < this.acknowledged) throw new Error('acknowledged backwards')
    this.acknowledged = Number(position)
    this.#options.onAcknowledge?.(this.acknowledged)
  }

  async health(): Promise<SourceHealth> {
    const none = { retainedBytes: 0n, budgetBytes: undefined, lagBytes: 0n }
    return this.#options.health?.() ?? none
  }

  async dispose(): Promise<readonly string[]> {
    return []
  }

  async close(): Promise<void> {
    // Nothing is open.
  }

  #isTimeForPressure(): boolean {
    if (--this.#rowsToPressure > 0) return false
    this.#rowsToPressure = this.#options.pressureEvery ?? 1
    return true
  }

  async #deliver(
    { tag, commitTimeUs, changes }: Transaction,
    wanted: ReadonlySet<string>,
    sink: ChangeSink,
    signal: AbortSignal,
  ): Promise<void> {
    sink.begin({ tag, commitTimeUs })
    for (const change of changes) {
      deliverChange(change, wanted, sink)
      if (!this.#isTimeForPressure()) continue
      await this.#options.step('row')
      await sink.pressure()
      if (signal.aborted) return
    }
  }
}

function deliverChange(change: Change, wanted: ReadonlySet<string>, sink: ChangeSink): void {
  if (change.op === 'truncate') return sink.truncate(change.tables)
  const { table } = change
  if (!wanted.has(table.id)) return
  if (change.op === 'gap') return sink.gap(table.id, 'something happened')
  if (change.op === 'alter') return sink.schemaChanged(table)
  const target = sink.rowsFor(table)
  if (target === undefined) return
  if (change.op === 'd' || change.op === 'rekey') {
    const key = change.op === 'd' ? change.id : change.from
    target.startRow('d')
    const others = table.schema.columns.slice(1).map((column) => column.name)
    appendCells(target, table, { id: key }, others)
    target.endRow()
  }
  if (change.op === 'd') return
  target.startRow(change.op === 'u' ? 'u' : 'i')
  appendCells(target, table, change.row, change.op === 'i' ? [] : change.absent)
  target.endRow()
}

function appendCells(
  target: RowTarget | SnapshotSink,
  table: SourceTable,
  row: Row,
  absent: readonly string[],
): void {
  for (const [at, { name }] of table.schema.columns.entries()) {
    const builder = target.columns[at]
    const value = row[name]
    if (absent.includes(name)) builder?.appendAbsent()
    else if (value === null || value === undefined) builder?.appendNull()
    else if (builder instanceof Int32Builder) builder.append(value as number)
    else if (builder instanceof BytesBuilder) builder.appendText(value as string)
  }
}
