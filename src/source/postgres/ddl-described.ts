/**
 * What the event triggers said of tables at the place in the log that has been reached, until the
 * stream announces the table or the transaction ends. Descriptions are used where they agree with
 * everything else that is known; otherwise what holds without the triggers holds.
 */
import type { TableSchema } from '../table-schema.ts'
import { isSameList } from './ddl-columns.ts'
import type { DdlMessage, TableDescription } from './ddl-messages.ts'
import type { CatalogTable } from './discover.ts'
import type { Relation } from './pgoutput/relation.ts'

/** A table as it was at that place in the log. */
export interface Described {
  readonly catalog: CatalogTable
  /** Its numbers of columns follow on those that were known. */
  readonly isCertain: boolean
  readonly isRewritten: boolean
}

export class DescribedTables {
  readonly #tables = new Map<string, TableDescription>()
  readonly #rewritten = new Set<string>()
  /** Tables that the triggers can not describe. */
  readonly #undescribed = new Set<string>()
  #wantsLook = false
  #isBlind = false

  /** Every change of a table since the stream began was described, as far as anybody can tell. */
  isInForce = false

  note(message: DdlMessage): void {
    switch (message.kind) {
      case 'table': {
        const { table, kind, isPartition } = message.described.catalog
        this.#tables.set(table.id, message.described)
        if (kind === 'p' || isPartition) this.#wantsLook = true
        return
      }
      case 'rewritten':
        this.#rewritten.add(message.id)
        return
      case 'unknown':
        this.#wantsLook = true
        if (message.id === undefined) {
          this.#isBlind = true
          this.#tables.clear()
        } else {
          this.#undescribed.add(message.id)
          this.#tables.delete(message.id)
        }
        return
      default:
        this.#wantsLook = true
    }
  }

  /** Nothing was said of the table, and nothing is known to be left out. */
  isUnchanged(id: string): boolean {
    const isBlind = this.#isBlind || this.#undescribed.has(id)
    return this.isInForce && !isBlind && !this.#tables.has(id) && !this.#rewritten.has(id)
  }

  /** For what the stream announces next; it counts once. */
  take(id: string, base: TableSchema, announced?: Relation): Described | undefined {
    const described = this.#tables.get(id)
    if (described === undefined) return undefined
    this.#tables.delete(id)
    const { catalog, own } = described
    if (announced !== undefined && !isAnnounced(announced, catalog)) return undefined
    if (!reaches(base, catalog)) return undefined
    const isCertain = follows(base, catalog, own)
    return { catalog, isCertain, isRewritten: this.#rewritten.delete(id) }
  }

  /** At the end of a transaction: ids of tables that were not announced meanwhile. */
  get waiting(): readonly string[] {
    return [...this.#tables.keys()]
  }

  /** The transaction ended. True when the catalog is to be looked at. */
  ended(): boolean {
    const wantsLook = this.#wantsLook
    this.#tables.clear()
    this.#rewritten.clear()
    this.#wantsLook = false
    return wantsLook
  }
}

/** The stream's columns are those described. */
function isAnnounced(relation: Relation, { columns, generated }: CatalogTable): boolean {
  const left = new Set(generated)
  return isSameList(
    relation.columns.filter(({ name }) => !left.has(name)),
    columns,
  )
}

/** What is described is not older than what is known. */
function reaches(base: TableSchema, { table, columns }: CatalogTable): boolean {
  const known = base.storage?.lastColumn
  const last = table.schema.storage?.lastColumn
  if (known === undefined || last === undefined) return known === undefined
  const before = new Set(base.columns.map(({ id }) => id))
  return (
    last >= known &&
    columns.every(
      ({ attnum }) => Number(attnum) > known || before.has(attnum) || before.has(undefined),
    )
  )
}

/**
 * Every later column was made by this transaction: none was while nobody told. A column that was
 * dropped unseen shows by itself, in the names that the stream announces.
 */
function follows(base: TableSchema, { columns }: CatalogTable, own: ReadonlySet<string>): boolean {
  const { storage } = base
  if (storage === undefined || base.columns.some(({ id }) => id === undefined)) return false
  return columns.every(({ attnum = '' }) => Number(attnum) <= storage.lastColumn || own.has(attnum))
}
