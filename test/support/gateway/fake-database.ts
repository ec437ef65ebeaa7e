/**
 * A database for gateway tests: tables, a log of committed transactions, and the awkward gap
 * between a commit that stands in the log and one that queries can see.
 */
import type { SourceColumn, SourceTable, TableId } from '../../../src/source/table-schema.ts'
import type { Random } from '../random.ts'

export type Row = Readonly<Record<string, string | number | null>>

export type Change =
  | { readonly op: 'i'; readonly table: SourceTable; readonly row: Row }
  | {
      readonly op: 'u'
      readonly table: SourceTable
      readonly row: Row
      /** Columns that did not change and are not sent. */
      readonly absent: readonly string[]
    }
  | { readonly op: 'd'; readonly table: SourceTable; readonly id: number }
  | {
      readonly op: 'rekey'
      readonly table: SourceTable
      readonly from: number
      readonly row: Row
      readonly absent: readonly string[]
    }
  | { readonly op: 'truncate'; readonly tables: readonly TableId[] }
  | { readonly op: 'gap'; readonly table: SourceTable }
  /** From here on, rows have another column, NULL so far. */
  | { readonly op: 'alter'; readonly table: SourceTable }

export interface Transaction {
  readonly tag: number
  readonly commitTimeUs: bigint
  readonly changes: readonly Change[]
}

const idColumn: SourceColumn = {
  name: 'id',
  type: { kind: 'int32' },
  sourceType: 'int4',
  nullable: false,
}

function textColumn(name: string): SourceColumn {
  return { name, type: { kind: 'string' }, sourceType: 'text', nullable: true }
}

export function fakeTable(id: string, columns: readonly string[] = ['a', 'b']): SourceTable {
  return {
    id: id as TableId,
    name: { schema: 'public', table: `t${id}` },
    schema: { columns: [idColumn, ...columns.map(textColumn)], key: ['id'] },
    estimatedRows: undefined,
    estimatedBytes: undefined,
  }
}

export class FakeDatabase {
  readonly log: Transaction[] = []
  /** As of the end of the log. */
  readonly tables = new Map<string, SourceTable>()
  readonly #rows = new Map<string, Map<number, Row>>()
  readonly #invisible = new Set<Transaction>()
  readonly #nowMs: () => number
  #nextTag = 100
  #listeners: (() => void)[] = []

  constructor(tables: readonly SourceTable[], nowMs: () => number = () => 1_700_000_000_000) {
    this.#nowMs = nowMs
    for (const table of tables) this.create(table)
  }

  create(table: SourceTable): void {
    this.tables.set(table.id, table)
    this.#rows.set(table.id, new Map())
  }

  drop(tableId: string): void {
    this.tables.delete(tableId)
  }

  commit(changes: readonly Change[], isVisible = true): Transaction {
    // A writer waits for the locks of one whose commit nobody sees yet.
    this.showAll((other) => touchSame(other.changes, changes))
    const tag = this.#nextTag++
    const commitTimeUs = BigInt(this.#nowMs()) * 1000n + BigInt(tag)
    const transaction: Transaction = { tag, commitTimeUs, changes }
    for (const change of changes) applyChange(this.#rows, change, this.tables)
    this.log.push(transaction)
    if (!isVisible) this.#invisible.add(transaction)
    for (const listener of this.#listeners.splice(0)) listener()
    return transaction
  }

  showAll(which: (transaction: Transaction) => boolean = () => true): void {
    for (const transaction of this.#invisible) {
      if (which(transaction)) this.#invisible.delete(transaction)
    }
  }

  isVisible(transaction: Transaction): boolean {
    return !this.#invisible.has(transaction)
  }

  /** The next commit. */
  news(): Promise<void> {
    return new Promise((resolve) => this.#listeners.push(resolve))
  }

  rows(tableId: string): ReadonlyMap<number, Row> {
    return this.#rows.get(tableId) ?? new Map()
  }

  /** Every table after the first `count` transactions that pass `shown`. */
  stateAt(count: number, shown: (transaction: Transaction) => boolean = () => true): RowsByTable {
    const state: RowsByTable = new Map()
    for (const transaction of this.log.slice(0, count)) {
      if (!shown(transaction)) continue
      for (const change of transaction.changes) applyChange(state, change)
    }
    return state
  }

  /** A transaction of `size` random changes that are possible now. */
  randomChanges(random: Random, size: number): Change[] {
    const changes: Change[] = []
    const state = new Map([...this.#rows].map(([id, rows]) => [id, new Map(rows)]))
    for (let n = 0; n < size; n++) {
      const table = random.pick([...this.tables.values()])
      const change = randomChange(random, table, state.get(table.id) ?? new Map())
      if (change === undefined) continue
      applyChange(state, change)
      changes.push(change)
    }
    return changes
  }
}

export type RowsByTable = Map<string, Map<number, Row>>

function rowsOf(state: RowsByTable, tableId: string): Map<number, Row> {
  let rows = state.get(tableId)
  if (rows === undefined) state.set(tableId, (rows = new Map()))
  return rows
}

function applyChange(state: RowsByTable, change: Change, tables?: Map<string, SourceTable>): void {
  switch (change.op) {
    case 'i':
    case 'u':
      rowsOf(state, change.table.id).set(change.row['id'] as number, change.row)
      break
    case 'd':
      rowsOf(state, change.table.id).delete(change.id)
      break
    case 'rekey':
      rowsOf(state, change.table.id).delete(change.from)
      rowsOf(state, change.table.id).set(change.row['id'] as number, change.row)
      break
    case 'truncate':
      for (const id of change.tables) rowsOf(state, id).clear()
      break
    case 'alter': {
      const rows = rowsOf(state, change.table.id)
      const names = change.table.schema.columns.map((column) => column.name)
      for (const [id, row] of rows) {
        rows.set(id, Object.fromEntries(names.map((name) => [name, row[name] ?? null])))
      }
      tables?.set(change.table.id, change.table)
      break
    }
    case 'gap':
      break
    default:
      change satisfies never
  }
}

const ugly = ['', "o'neil\n", '\u0000', 'žluťoučký', '🦆'.repeat(3), 'x'.repeat(40)]

function randomChange(
  random: Random,
  table: SourceTable,
  rows: ReadonlyMap<number, Row>,
): Change | undefined {
  const id = random.int(0, 12)
  const names = table.schema.columns.slice(1).map((column) => column.name)
  const before = rows.get(id)
  const fresh = (key: number, from?: Row): { row: Row; absent: string[] } => {
    const row: Record<string, string | number | null> = { id: key }
    const absent: string[] = []
    for (const name of names) {
      const isKept = from !== undefined && random.chance(0.4)
      row[name] = isKept ? (from[name] ?? null) : random.chance(0.2) ? null : random.pick(ugly)
      if (isKept && random.chance(0.7)) absent.push(name)
    }
    return { row, absent }
  }
  if (random.chance(0.03)) return { op: 'truncate', tables: [table.id] }
  if (before === undefined) return { op: 'i', table, row: fresh(id).row }
  if (random.chance(0.3)) return { op: 'd', table, id }
  const other = random.int(12, 20)
  if (random.chance(0.2) && !rows.has(other)) {
    return { op: 'rekey', table, from: id, ...fresh(other, before) }
  }
  return { op: 'u', table, ...fresh(id, before) }
}

function touchSame(a: readonly Change[], b: readonly Change[]): boolean {
  return a.some((one) => b.some((other) => conflict(one, other)))
}

function conflict(a: Change, b: Change): boolean {
  const tables = new Set(tablesOf(b))
  if (!tablesOf(a).some((id) => tables.has(id))) return false
  const keys = new Set(keysOf(b))
  const other = keysOf(a)
  return other.length === 0 || keys.size === 0 || other.some((key) => keys.has(key))
}

function tablesOf(change: Change): readonly string[] {
  return change.op === 'truncate' ? change.tables : [change.table.id]
}

/** Empty: the whole table. */
function keysOf(change: Change): readonly number[] {
  if (change.op === 'i' || change.op === 'u') return [change.row['id'] as number]
  if (change.op === 'd') return [change.id]
  if (change.op === 'rekey') return [change.from, change.row['id'] as number]
  return []
}
