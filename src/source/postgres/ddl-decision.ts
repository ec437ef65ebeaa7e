/** What a look at the catalog, beside what the stream says, means for a table that is followed. */
import type { Column } from '../../columnar/column-batch.ts'
import { createColumnBuilder } from '../../columnar/column-builder.ts'
import type { SchemaChange } from '../change-sink.ts'
import type {
  RowIdentity,
  SourceColumn,
  SourceTable,
  TableSchema,
  TableStorage,
} from '../table-schema.ts'
import { appendCell, type CellDecoder } from './cell-decoder.ts'
import {
  type ColumnsOutcome,
  identifyColumns,
  isRelabelled,
  isRewritten,
  stepProblem,
} from './ddl-columns.ts'
import type { CatalogColumn, CatalogTable } from './discover.ts'

/** How rows are told apart. */
export interface Identified {
  /** Names, in key order. */
  readonly key: readonly string[]
  readonly identity: RowIdentity | undefined
}

export function withIdentity(schema: TableSchema, { key, identity }: Identified): TableSchema {
  const { identity: _before, ...rest } = schema
  return { ...rest, key, ...(identity === undefined ? {} : { identity }) }
}

/** Columns as somebody names them, their types known, in order. */
export interface SeenColumns extends Identified {
  readonly columns: readonly CatalogColumn[]
  readonly mapped: readonly { readonly column: SourceColumn; readonly decoder: CellDecoder }[]
  readonly name: SourceTable['name']
}

export interface DecideOptions {
  readonly seen: SeenColumns
  readonly isCatalog: boolean
  /** Rows that only moved are a change too, so that it goes on record where they are. */
  readonly keepsMoves?: boolean
  /** `catalog` is what it was at this very place in the log: its numbers of columns are true. */
  readonly isCertain?: boolean
  /** Nothing explains why its rows lie elsewhere than is on record. */
  readonly isMoved?: boolean
  /** The log says that rows were written anew. */
  readonly isRewritten?: boolean
  /** Nobody can tell which columns are meant. */
  readonly isUncertain?: boolean
}

export type Decision =
  /** Rows of the followed table, as they were. */
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly table: SourceTable; readonly change: SchemaChange }

export class DdlDecisions {
  /**
   * Where rows lie moves without any other change (VACUUM FULL, CLUSTER, TRUNCATE): by table, the
   * newest place under one definition.
   */
  readonly #files = new Map<string, TableStorage>()

  /**
   * `seen`: what the stream announced, or, with `isCatalog`, what `catalog` has. `catalog` undefined:
   * the table is gone.
   */
  decide(
    base: SourceTable,
    catalog: CatalogTable | undefined,
    { seen, isCatalog, keepsMoves = false, isCertain = false, ...told }: DecideOptions,
  ): Decision {
    const storage = catalog?.table.schema.storage
    const schemaOf = (ids: readonly string[] | undefined, isNow = false): TableSchema => ({
      ...withIdentity(base.schema, seen),
      columns: seen.mapped.map(({ column }, place) =>
        numbered(base.schema, column, { id: ids?.[place] ?? column.id, isNow }),
      ),
      ...(storage === undefined ? {} : { storage }),
    })
    const anew = (reason: string): Decision => ({
      kind: 'changed',
      table: { ...base, name: seen.name, schema: schemaOf(undefined) },
      change: { kind: 'new', reason },
    })
    const from = base.schema
    if (catalog !== undefined && catalog.persistence !== 'p') {
      return anew('it is unlogged: its changes are not in the log')
    }
    if (told.isUncertain === true) return anew('columns were renamed and others dropped')
    const found = isCertain
      ? certainColumns(seen.columns)
      : identifyColumns(from, catalog, isCatalog ? undefined : seen.columns)
    if (found.kind === 'new') {
      return isUnnumbered(from) && hasSameColumns(from, schemaOf(undefined))
        ? { kind: 'same' }
        : anew(found.reason)
    }
    if (told.isMoved === true) {
      return anew('its rows lie in a new file, and it may have been unlogged meanwhile')
    }
    if (told.isRewritten === true || isRewritten(this.#storageOf(base, catalog), storage))
      return anew('its rows were written anew')
    if (isRelabelled(from.storage, storage))
      return anew('values of a type were changed: labels of an enum, or attributes of a composite')
    const columns = schemaOf(found.attnums, found.isNow)
    const isRecorded = keepsMoves || catalog?.isNamed !== false
    const schema = {
      ...columns,
      ...placed(from, isRecorded ? storage : unmoved(from, storage), found),
    }
    if (hasSameColumns(from, schema)) {
      if (catalog?.isNamed !== false) this.#noteFile(base, storage)
      const isRedefined =
        storage?.definition !== from.storage?.definition || storage?.labels !== from.storage?.labels
      const hasMoved = keepsMoves && storage?.file !== from.storage?.file
      if (!found.isNow || (!isRedefined && !hasMoved)) return { kind: 'same' }
    }
    const problem = stepProblem(from, schema)
    if (problem !== undefined) return anew(problem)
    const fills = this.#fills(from, schema, { seen, catalog })
    if (fills === undefined)
      return anew('the value of an added column can not be read, or does not fit its type')
    const table = { ...base, name: seen.name, schema }
    return { kind: 'changed', table, change: { kind: 'step', from, fills } }
  }

  #storageOf(
    { id, schema: { storage } }: SourceTable,
    catalog: CatalogTable | undefined,
  ): TableStorage | undefined {
    if (catalog?.isNamed === false) return storage
    const noted = this.#files.get(id)
    return noted !== undefined && noted.definition === storage?.definition ? noted : storage
  }

  #noteFile({ id, schema }: SourceTable, now: TableStorage | undefined): void {
    if (now === undefined || now.definition !== schema.storage?.definition) return
    this.#files.set(id, now)
  }

  /** One cell per added column, or none at all when all are NULL; undefined: not to be told. */
  #fills(
    from: TableSchema,
    to: TableSchema,
    of: { readonly seen: SeenColumns; readonly catalog: CatalogTable | undefined },
  ): readonly Column[] | undefined {
    const known = new Set(from.columns.map(({ id }) => id))
    const fills: Column[] = []
    let hasValue = false
    for (const [place, { name, type, id }] of to.columns.entries()) {
      if (known.has(id)) continue
      const missing = of.catalog?.columns.find(({ attnum }) => attnum === id)?.missing
      const decoder = of.seen.mapped[place]?.decoder
      if (missing === undefined || missing === 'unreadable' || decoder === undefined)
        return undefined
      const builder = createColumnBuilder(name, type)
      if (missing.text === null) builder.appendNull()
      else {
        const bytes = Buffer.from(missing.text)
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
        appendCell(decoder, builder, view, 0, bytes.length)
        hasValue = true
      }
      const fill = builder.finish()
      // A fill is one value for every policy; in a copy each pipeline decides about the cell.
      if (fill.unfit !== undefined) return undefined
      fills.push(fill)
    }
    return hasValue ? fills : []
  }
}

function certainColumns(columns: readonly CatalogColumn[]): ColumnsOutcome {
  return { kind: 'known', attnums: columns.map(({ attnum }) => attnum ?? ''), isNow: true }
}

function isUnnumbered({ columns, storage }: TableSchema): boolean {
  return storage === undefined || columns.some(({ id }) => id === undefined)
}

/** Columns later than those of the stream are not yet there. */
function placed(
  base: TableSchema,
  storage: TableStorage | undefined,
  { attnums, isNow }: { readonly attnums: readonly string[]; readonly isNow: boolean },
): Pick<TableSchema, 'storage'> {
  const known = storage ?? base.storage
  if (known === undefined) return {}
  if (isNow) return { storage: known }
  const lastColumn = Math.max(base.storage?.lastColumn ?? 0, ...attnums.map(Number))
  return { storage: { ...known, lastColumn } }
}

/** Where the rows lie is put on record by whoever can tell why. */
function unmoved(base: TableSchema, storage: TableStorage | undefined): TableStorage | undefined {
  if (storage === undefined || base.storage === undefined) return storage
  return { ...storage, file: base.storage.file }
}

/** `isNow`: the catalog says of this very column whether it may be NULL. */
function numbered(
  base: TableSchema,
  { name, type, sourceType, nullable }: SourceColumn,
  { id, isNow }: { readonly id: string | undefined; readonly isNow: boolean },
): SourceColumn {
  const before =
    id === undefined
      ? base.columns.find((one) => one.name === name)
      : base.columns.find((one) => one.id === id)
  // Once nullable, always nullable: rows from before may still come.
  const isNullable = isNow ? nullable || before?.nullable === true : before?.nullable
  const column = { name, type, sourceType, nullable: isNullable ?? true }
  return id === undefined ? column : { ...column, id }
}

/** Ids that one of the two does not have are not compared. */
function hasSameColumns(a: TableSchema, b: TableSchema): boolean {
  const text = (schema: TableSchema, withIds: boolean): string =>
    JSON.stringify([
      schema.key,
      schema.identity ?? 'key',
      schema.columns.map(({ name, type, sourceType, nullable, id }) => [
        name,
        Object.entries(type),
        sourceType,
        nullable,
        withIds ? id : '',
      ]),
    ])
  const withIds = [...a.columns, ...b.columns].every(({ id }) => id !== undefined)
  return text(a, withIds) === text(b, withIds)
}
