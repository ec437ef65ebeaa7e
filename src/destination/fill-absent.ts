/** Fills absent cells of the surviving rows: from rows staged earlier and from destination rows. */
import { SluiceError } from '../base/errors.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { int32Column, int64Column } from '../engine/result-columns.ts'
import { noSource, resolveCarryOver, type CarryOver, type ChangeKeys } from './carry-over.ts'
import type { DestinationColumns } from './destination-columns.ts'
import { anyOf } from './exact-value.ts'
import type { LocatedRows } from './locate-keys.ts'
import {
  keyNumberColumn,
  orderColumn,
  survivorsSql,
  type ReducedChanges,
} from './reduce-changes.ts'
import { quarantinedColumn } from './staged-projection.ts'
import { fileColumn, positionColumn, positionedScanSql, tolerantSql } from './scan.ts'
import { engineTypeOf } from './type-mapping.ts'

/** The changes and their keys, see `ReducedChanges`. */
export type NumberedChanges = Pick<
  ReducedChanges,
  'changes' | 'latest' | 'keyCount' | 'quarantines'
>

export interface GatherInput {
  readonly reduced: NumberedChanges
  readonly columns: DestinationColumns
  /** Whose cells: of the last change of each key, of each key and transaction, or of every change. */
  readonly wanted: 'last' | 'last-of-transaction' | 'all'
  /**
   * A relation of the destination's rows under the keys with these numbers: the key's number and
   * the columns `given`; undefined when there is none. `missing`: those that have no row.
   */
  readonly storedRows: (
    keys: ReadonlySet<bigint>,
    given: readonly string[],
  ) => Promise<{ readonly rows: string | undefined; readonly missing: ReadonlySet<bigint> }>
}

export interface FillInput {
  readonly reduced: ReducedChanges
  readonly columns: DestinationColumns
  /** Local paths of the destination files, in the numbering of `located`. */
  readonly paths: readonly string[]
  readonly located: readonly LocatedRows[]
  /** Some of the files may be older than a column. */
  readonly mayLack: boolean
  /** Positions of each located file that were dead before, ascending. */
  readonly deadBefore: (file: number) => BigUint64Array | undefined
}

/** Temporary table: orders of the changes that keep cells nobody has; only with a quarantine. */
export const unknownTable = 'sluice_unknown'

/** Temporary tables of the session that serves the attempt. */
const donorsTable = 'sluice_donors'
const placesTable = 'sluice_places'
const cellsTable = 'sluice_cells'
const absentSetsTable = 'sluice_absent_sets'
const donorOrder = '__sluice_donor_order'
const donorKey = '__sluice_donor_key'
const givesColumn = (column: number): string => `__sluice_gives_${column}`
const cellColumn = (column: number): string => `__sluice_cell_${column}`

/**
 * Query of all surviving rows, the destination's columns in order.
 * Throws DESTINATION_CELL_UNKNOWN when nobody has a cell that a change kept; with a quarantine such a
 * row is left out, and `unknownTable` names it.
 */
export async function fillAbsent(engine: EngineStatements, input: FillInput): Promise<string> {
  const { reduced, columns } = input
  const names = columns.columns.map(({ name }) => name)
  const tolerantScan = (paths: readonly string[], given: readonly string[]): string => {
    const wanted = columns.columns.filter(({ name }) => given.includes(name))
    const typed = wanted.map(({ name, type }) => ({ name, engineType: engineTypeOf(type) }))
    const rows = positionedScanSql(paths, '*', names, { unionByName: true })
    return tolerantSql(`SELECT * FROM ${rows}`, typed)
  }
  const storedRows: GatherInput['storedRows'] = async (keys, given) => {
    const { missing, ...rows } = findDonorRows(keys, input)
    if (rows.paths.length === 0) return { rows: undefined, missing }
    await engine.load(placesTable, [
      { name: keyNumberColumn, type: 'BIGINT', values: rows.keys },
      { name: fileColumn, type: 'INTEGER', values: rows.files },
      { name: positionColumn, type: 'BIGINT', values: rows.positions },
    ])
    const list = given.map((name) => `d.${quoteIdentifier(name)}`)
    const relation = `(SELECT ${[`k.${keyNumberColumn}`, ...list].join(', ')} FROM ${placesTable} k
      JOIN ${input.mayLack ? tolerantScan(rows.paths, given) : positionedScanSql(rows.paths, given, names)} d
        ON d.${fileColumn} = k.${fileColumn} AND d.${positionColumn} = k.${positionColumn})`
    return { rows: relation, missing }
  }
  const filled = await gatherCells(engine, { reduced, columns, wanted: 'last', storedRows })
  const known = reduced.quarantines ? ` ANTI JOIN ${unknownTable} USING (${orderColumn})` : ''
  const rows = `SELECT * FROM (${survivorsSql(reduced, '*')})${known}`
  if (filled.size === 0) return `SELECT ${names.map(quoteIdentifier).join(', ')} FROM (${rows})`
  return filledSql(rows, names, filled)
}

/**
 * Puts the absent cells that are wanted where `filledSql` finds them; returns their columns' ordinals.
 * Cells that nobody has: DESTINATION_CELL_UNKNOWN, or with a quarantine the change is in `unknownTable`.
 */
export async function gatherCells(
  engine: EngineStatements,
  { reduced, columns, wanted, storedRows }: GatherInput,
): Promise<ReadonlySet<number>> {
  const { keys, orders } = await readChangeKeys(engine, reduced, columns)
  const flags = wanted === 'last' ? {} : { wanted: wantedFlags(wanted, keys, orders) }
  const carry = resolveCarryOver({ ...keys, ...flags }, reduced.keyCount)
  const donors = gatherDonors(carry, keys, orders)
  if (donors.unknown.length > 0 && !reduced.quarantines) {
    throw unknownCell('the row it changes was deleted before')
  }
  const names = columns.columns.map(({ name }) => name)
  const carried = [...donors.columns].toSorted((a, b) => a - b)
  if (carried.length === 0 || donors.orders.length === 0) {
    if (reduced.quarantines) await loadUnknown(engine, donors.unknown)
    return new Set()
  }
  await loadDonors(engine, donors)
  const given = carried.map((column) => names[column] ?? '')
  const numbers = new Set(donors.donorKeys.filter((key) => key >= 0n))
  const stored = numbers.size === 0 ? undefined : await storedRows(numbers, given)
  const missing = donors.donorKeys.flatMap((key, entry) =>
    stored?.missing.has(key) === true ? [donors.orders[entry] ?? 0n] : [],
  )
  if (missing.length > 0 && !reduced.quarantines) {
    throw unknownCell('the destination has no row of its key')
  }
  if (reduced.quarantines) {
    await loadUnknown(engine, [...donors.unknown, ...missing])
    await engine.run(unfitDonorsSql(reduced, carried, names))
  }
  await engine.run(cellsSql({ reduced, columns, carried, stored: stored?.rows }))
  return donors.columns
}

async function loadUnknown(engine: EngineStatements, orders: readonly bigint[]): Promise<void> {
  const values = [...new Set(orders)]
  await engine.load(unknownTable, [{ name: orderColumn, type: 'BIGINT', values }])
}

/** A cell that is kept is no NULL: one that a row in quarantine gives as NULL does not fit. */
function unfitDonorsSql(
  reduced: NumberedChanges,
  carried: readonly number[],
  names: readonly string[],
): string {
  const unfit = carried.map(
    (column) =>
      `(p.${givesColumn(column)} = 1 AND d.${quoteIdentifier(names[column] ?? '')} IS NULL)`,
  )
  return `INSERT INTO ${unknownTable} SELECT p.${orderColumn}
    FROM ${donorsTable} p JOIN ${reduced.changes} d ON p.${donorOrder} = d.${orderColumn}
    WHERE d.${quarantinedColumn} AND (${unfit.join(' OR ')})`
}

/** The rows of `rows`, which have the order column, with cells that were gathered. */
export function filledSql(
  rows: string,
  names: readonly string[],
  filled: ReadonlySet<number>,
  more: readonly string[] = [],
): string {
  const output = names.map((name, column) => {
    const quoted = quoteIdentifier(name)
    if (!filled.has(column)) return `s.${quoted}`
    return `coalesce(s.${quoted}, c.${cellColumn(column)}) AS ${quoted}`
  })
  const list = [...output, ...more.map((name) => `s.${name}`)].join(', ')
  return `SELECT ${list} FROM (${rows}) s LEFT JOIN ${cellsTable} c USING (${orderColumn})`
}

/** 1 for every change, or for those that no later change of the same key and transaction follows. */
function wantedFlags(
  wanted: 'last-of-transaction' | 'all',
  { keys }: ChangeKeys,
  orders: BigInt64Array,
): Uint8Array {
  const flags = new Uint8Array(orders.length).fill(1)
  if (wanted === 'all') return flags
  const later = new Map<number, bigint>()
  for (let change = orders.length - 1; change >= 0; change--) {
    const key = keys[change] ?? 0
    const transaction = (orders[change] ?? 0n) >> 32n
    if (later.get(key) === transaction) flags[change] = 0
    later.set(key, transaction)
  }
  return flags
}

/** Brings all cells together, one row per surviving row that had absent ones. */
function cellsSql(input: {
  readonly reduced: NumberedChanges
  readonly columns: DestinationColumns
  readonly carried: readonly number[]
  readonly stored: string | undefined
}): string {
  const { reduced, carried } = input
  const { columns } = input.columns
  const given = carried.map((column) => columns[column]?.name ?? '')
  const list = given.map((name) => `d.${quoteIdentifier(name)}`).join(', ')
  const staged = `SELECT p.*, ${list} FROM ${donorsTable} p
    JOIN ${reduced.changes} d ON p.${donorOrder} = d.${orderColumn}`
  const stored = `SELECT p.*, ${list} FROM ${donorsTable} p
    JOIN ${input.stored} d ON p.${donorKey} = d.${keyNumberColumn}`
  const cells = carried.flatMap((ordinal) => {
    const column = columns[ordinal]
    if (column === undefined) return []
    return [`${anyOf(column, `${givesColumn(ordinal)} = 1`)} AS ${cellColumn(ordinal)}`]
  })
  return `CREATE TEMP TABLE ${cellsTable} AS
    SELECT ${orderColumn}, ${cells.join(', ')}
    FROM (${input.stored === undefined ? staged : `${staged} UNION ALL ${stored}`})
    GROUP BY ${orderColumn}`
}

interface OrderedKeys {
  readonly keys: ChangeKeys
  readonly orders: BigInt64Array
}

/** Operations, keys and absent sets of all changes in order. Cells are not read. */
async function readChangeKeys(
  engine: EngineStatements,
  reduced: NumberedChanges,
  columns: DestinationColumns,
): Promise<OrderedKeys> {
  const using = columns.key.map(quoteIdentifier).join(', ')
  await engine.run(
    `CREATE TEMP TABLE ${absentSetsTable} AS SELECT _absent, (row_number() OVER ())::INTEGER AS number
     FROM (SELECT DISTINCT _absent FROM ${reduced.changes} WHERE _absent IS NOT NULL)`,
  )
  const result = await engine.columns(
    `SELECT c.${orderColumn}, l.${keyNumberColumn}::INTEGER,
       CASE c._op WHEN 'r' THEN 0 WHEN 'i' THEN 1 WHEN 'u' THEN 2 ELSE 3 END,
       coalesce(s.number, 0)::INTEGER
     FROM ${reduced.changes} c JOIN (SELECT ${using}, ${keyNumberColumn} FROM ${reduced.latest}) l
       USING (${using})
     LEFT JOIN ${absentSetsTable} s ON s._absent = c._absent ORDER BY 1`,
  )
  const setRows = await engine.rows(
    `SELECT _absent AS absent FROM ${absentSetsTable} ORDER BY number`,
  )
  const orders = int64Column(result, 0)
  const follows = new Uint8Array(orders.length)
  for (let row = 1; row < orders.length; row++) {
    follows[row] = orders[row] === (orders[row - 1] ?? 0n) + 1n ? 1 : 0
  }
  const absentSets = setRows.map(({ absent }) =>
    (absent as readonly number[])
      .map((ordinal) => columns.ordinals[ordinal] ?? -1)
      .filter((ordinal) => ordinal >= 0),
  )
  return {
    orders,
    keys: {
      ops: int32Column(result, 2),
      keys: int32Column(result, 1),
      masks: int32Column(result, 3),
      follows,
      absentSets: [[], ...absentSets],
    },
  }
}

/** One entry per (surviving row, row it takes cells from). */
interface Donors {
  readonly orders: bigint[]
  /** Order of the staged row; -1n: a destination row. */
  readonly donorOrders: bigint[]
  /** Key number of the destination row; -1n: a staged row. */
  readonly donorKeys: bigint[]
  /** Which columns it gives, by entry. */
  readonly given: (readonly number[])[]
  /** Every column that is given at all. */
  readonly columns: ReadonlySet<number>
  /** Orders of rows with a cell that nobody has. */
  readonly unknown: bigint[]
}

function gatherDonors(carry: CarryOver, keys: ChangeKeys, orders: BigInt64Array): Donors {
  const columns = new Set<number>()
  const donors = {
    orders: [] as bigint[],
    donorOrders: [] as bigint[],
    donorKeys: [] as bigint[],
    given: [] as (readonly number[])[],
    columns,
    unknown: [] as bigint[],
  }
  carry.changes.forEach((change, index) => {
    const absent = keys.absentSets[keys.masks[change] ?? 0] ?? []
    const bySource = new Map<number, number[]>()
    carry.sources[index]?.forEach((source, place) => {
      const column = absent[place] ?? 0
      columns.add(column)
      const list = bySource.get(source)
      if (list === undefined) bySource.set(source, [column])
      else list.push(column)
    })
    for (const [source, given] of bySource) {
      if (source === noSource) {
        donors.unknown.push(orders[change] ?? 0n)
        continue
      }
      donors.orders.push(orders[change] ?? 0n)
      donors.donorOrders.push(source >= 0 ? (orders[source] ?? 0n) : -1n)
      donors.donorKeys.push(source >= 0 ? -1n : BigInt(-1 - source))
      donors.given.push(given)
    }
  })
  return donors
}

async function loadDonors(engine: EngineStatements, donors: Donors): Promise<void> {
  const flags = [...donors.columns]
    .toSorted((a, b) => a - b)
    .map((column) => ({
      name: givesColumn(column),
      type: 'INTEGER' as const,
      values: donors.given.map((given) => (given.includes(column) ? 1 : 0)),
    }))
  await engine.load(donorsTable, [
    { name: orderColumn, type: 'BIGINT', values: donors.orders },
    { name: donorOrder, type: 'BIGINT', values: donors.donorOrders },
    { name: donorKey, type: 'BIGINT', values: donors.donorKeys },
    ...flags,
  ])
}

interface DonorRows {
  readonly keys: bigint[]
  /** Index in `paths` of this object. */
  readonly files: number[]
  readonly positions: bigint[]
  readonly paths: string[]
  /** Keys without a row. */
  readonly missing: ReadonlySet<bigint>
}

/** The live destination rows that give cells. */
function findDonorRows(keyNumbers: ReadonlySet<bigint>, input: FillInput): DonorRows {
  const wanted = new Set(keyNumbers)
  const rows: DonorRows = { keys: [], files: [], positions: [], paths: [], missing: wanted }
  for (const { file, positions, keys } of input.located) {
    const dead = input.deadBefore(file) ?? new BigUint64Array(0)
    let at = 0
    let isListed = false
    for (let row = 0; row < positions.length; row++) {
      const position = positions[row] ?? 0n
      while (at < dead.length && (dead[at] ?? 0n) < position) at++
      const key = keys?.[row] ?? -1n
      if (dead[at] === position || !wanted.delete(key)) continue
      if (!isListed) rows.paths.push(input.paths[file] ?? '')
      isListed = true
      rows.keys.push(key)
      rows.files.push(rows.paths.length - 1)
      rows.positions.push(position)
    }
  }
  return rows
}

export function unknownCell(why: string): SluiceError {
  return new SluiceError('DESTINATION_CELL_UNKNOWN', `a staged change keeps cells, but ${why}`)
}
