/**
 * Finds changed columns of tables that nobody writes to: the stream tells of them only with the next
 * row. The catalog is looked at from time to time; once the stream has passed that moment and nothing
 * newer came with it, what the catalog said holds there, between two transactions.
 */
import type { ChangeSink } from '../change-sink.ts'
import type { SourceTable, TableId, TableSchema } from '../table-schema.ts'
import type { Control } from './control.ts'
import type { DecideOptions, Decision } from './ddl-decision.ts'
import { discoverById, type CatalogTable, type DiscoverContext } from './discover.ts'
import type { Lsn } from './lsn.ts'
import type { ToldTruncates } from './told-truncates.ts'

/**
 * Which of two descriptions of a table is the later one: a look that began before a description was
 * made says nothing about it. Descriptions of an earlier process come before everything.
 */
export class DescribedOrder {
  #last = 0
  readonly #numbers = new WeakMap<TableSchema, number>()

  next(): number {
    return ++this.#last
  }

  note(schema: TableSchema): void {
    this.#numbers.set(schema, this.next())
  }

  numberOf(schema: TableSchema): number {
    return this.#numbers.get(schema) ?? 0
  }
}

export interface CatalogLook {
  readonly number: number
  /** Before the stream: where rows moved to meanwhile goes on record. */
  readonly isFirst: boolean
  readonly tables: readonly CatalogTable[]
  /** A place in the log after the look. */
  readonly lsn: Lsn
}

export interface LookOptions extends DiscoverContext {
  readonly control: Pick<Control, 'query'>
  readonly order: DescribedOrder
  /** See `CatalogLook.lsn`. */
  readonly endOfLog: () => Promise<Lsn>
  readonly truncates: ToldTruncates
}

/** Looks at `ids`; undefined when `isNews` is false of every table. */
export async function lookAtCatalog(
  { control, order, endOfLog, ...context }: LookOptions,
  ids: readonly TableId[],
  isNews?: (table: CatalogTable) => boolean,
): Promise<CatalogLook | undefined> {
  const number = order.next()
  const tables = (await discoverById(control, ids, context)).filter(
    (table) => isNews?.(table) !== false,
  )
  if (tables.length === 0) return undefined
  return { number, isFirst: isNews === undefined, tables, lsn: await endOfLog() }
}

export interface CatalogWatchOptions extends LookOptions {
  readonly sink: Pick<ChangeSink, 'schemaChanged'>
  readonly tables: readonly TableId[]
  readonly followed: (id: TableId) => SourceTable | undefined
  readonly compare: (
    base: SourceTable,
    catalog: CatalogTable,
    how: Pick<DecideOptions, 'keepsMoves' | 'isMoved'>,
  ) => Decision
}

export class CatalogWatch {
  readonly #options: CatalogWatchOptions
  #look: CatalogLook | undefined
  #isLooking = false

  /** `look`: one made before the stream began. */
  constructor(options: CatalogWatchOptions, look: CatalogLook | undefined) {
    this.#options = options
    this.#look = look
  }

  /** True when a look waits for the stream to pass it. */
  async look(): Promise<boolean> {
    if (this.#look !== undefined || this.#isLooking) return this.#look !== undefined
    this.#isLooking = true
    try {
      const { tables } = this.#options
      this.#look = await lookAtCatalog(this.#options, tables, (one) => this.#isNews(one))
    } finally {
      this.#isLooking = false
    }
    return this.#look !== undefined
  }

  /** Between two transactions: everything before `lsn` was delivered. */
  passed(lsn: Lsn): void {
    const look = this.#look
    if (look === undefined || lsn < look.lsn) return
    this.#look = undefined
    const { order, sink } = this.#options
    for (const catalog of look.tables) {
      const base = this.#options.followed(catalog.table.id)
      if (base === undefined || this.#isOutdated(look, catalog, base.schema)) continue
      const decision = this.#compare(base, catalog, look)
      if (decision.kind === 'same') continue
      order.note(decision.table.schema)
      sink.schemaChanged(decision.table, decision.change)
    }
  }

  /**
   * The table was described after the look. What the stream announced meanwhile, of an earlier place
   * in the log, was made with a look of its own: when that saw the same, this one is as good.
   */
  #isOutdated(look: CatalogLook, { table }: CatalogTable, base: TableSchema): boolean {
    const isLater = this.#options.order.numberOf(base) > look.number
    return isLater && base.storage?.definition !== table.schema.storage?.definition
  }

  #isNews(catalog: CatalogTable): boolean {
    const base = this.#options.followed(catalog.table.id)
    return base !== undefined && this.#compare(base, catalog).kind !== 'same'
  }

  /**
   * The server lets a table that no publication names become unlogged, and logged again between two
   * looks: all that shows then is a new file. Only once the stream has passed the look is it known
   * whether that came of a TRUNCATE, which leaves no row that the log does not have.
   */
  #compare(base: SourceTable, catalog: CatalogTable, look?: CatalogLook): Decision {
    const { compare, order, truncates } = this.#options
    const { id, schema } = catalog.table
    const file = base.schema.storage?.file
    const isElsewhere =
      catalog.isNamed === false &&
      catalog.kind === 'r' &&
      file !== undefined &&
      file !== schema.storage?.file
    if (!isElsewhere) return compare(base, catalog, { keepsMoves: look?.isFirst === true })
    // Described after the look: the next one tells.
    const isLater = look !== undefined && order.numberOf(base.schema) > look.number
    const isMoved = !isLater && !truncates.has(id, catalog.placedBy)
    return compare(base, catalog, { keepsMoves: !isLater, isMoved })
  }
}
