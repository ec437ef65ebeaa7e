/**
 * What the stream announces about a table, as a table of ours. The stream speaks of the table as it
 * was at that place in the log; the catalog, which knows it only as it is now, is asked for what
 * the announcement leaves out.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../../observe/log.ts'
import type { ChangeSink, SchemaChange } from '../change-sink.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import { isSameList } from './ddl-columns.ts'
import type { DescribedTables } from './ddl-described.ts'
import {
  type DecideOptions,
  type Decision,
  DdlDecisions,
  type Identified,
  type SeenColumns,
  withIdentity,
} from './ddl-decision.ts'
import {
  type CatalogColumn,
  type CatalogTable,
  discoverById,
  discoverTypes,
  mapColumn,
  unfitNotice,
} from './discover.ts'
import { asRoot, bindPartition, inOrderOfRoot } from './partition-binding.ts'
import {
  bindRelation,
  type PartitionWatch,
  type Relation,
  type RelationBinding,
} from './pgoutput/relation.ts'
import { shownTable } from './sql-text.ts'

export type RelationOutcome =
  /** Nobody wants the table. */
  | { readonly kind: 'ignored' }
  /** `changed`: the schema differs from the one the sink has. */
  | {
      readonly kind: 'bound'
      readonly changed?: { readonly table: SourceTable; readonly change: SchemaChange }
    }
  /** The table's rows cannot be identified from here on; they are skipped. */
  | { readonly kind: 'gap'; readonly table: TableId; readonly reason: string }

/** Whose partition a relation is. */
export interface PartitionLookup {
  rootOf(oid: number): Promise<TableId | undefined>
  unproven(oid: number): PartitionWatch | undefined
}

export interface RelationBinderOptions {
  readonly control: Pick<Control, 'query'>
  readonly log: Log
  readonly publicationName: string
  readonly tables: readonly SourceTable[]
  readonly sink: Pick<ChangeSink, 'followed'>
  readonly partitions?: PartitionLookup
  /** By the event triggers, where they are installed. */
  readonly described?: DescribedTables
}

export class RelationBinder {
  /** By oid, for the decoder. */
  readonly relations = new Map<number, RelationBinding | 'ignored'>()
  readonly #options: RelationBinderOptions
  readonly #decisions = new DdlDecisions()
  /** As last announced. */
  readonly #announced = new Map<string, SourceTable>()

  constructor(options: RelationBinderOptions) {
    this.#options = options
    for (const table of options.tables) this.#announced.set(table.id, table)
  }

  get tableIds(): readonly TableId[] {
    return [...this.#announced.values()].map(({ id }) => id)
  }

  /** The table as the sink has it; undefined when it does not keep its rows. */
  followed(id: TableId): SourceTable | undefined {
    const { sink } = this.#options
    return sink.followed === undefined ? this.#announced.get(id) : sink.followed(id)
  }

  /** What the catalog means for a table that the sink has as `base`. */
  compare(
    base: SourceTable,
    catalog: CatalogTable,
    how: Pick<DecideOptions, 'keepsMoves' | 'isMoved' | 'isCertain' | 'isRewritten'>,
  ): Decision {
    const { columns, decoders, table } = catalog
    const mapped = table.schema.columns.flatMap((column, place) => {
      const decoder = decoders[place]
      return decoder === undefined ? [] : [{ column, decoder }]
    })
    // What is followed for its inserts alone stays so until the publication has more of it.
    const { key, identity } = base.schema.identity === 'insert-only' ? base.schema : table.schema
    const seen = { columns, mapped, key, identity, name: table.name }
    return this.#decisions.decide(base, catalog, { seen, isCatalog: true, ...how })
  }

  /** Sets `relations` for the relation. */
  async bind(relation: Relation): Promise<RelationOutcome> {
    if (this.#announced.has(String(relation.oid))) return await this.#bindTable(relation)
    const root = await this.#options.partitions?.rootOf(relation.oid)
    const announced = root === undefined ? undefined : this.#announced.get(root)
    if (announced === undefined) return await this.#bindTable(relation)
    return await this.#bindPartition(relation, announced)
  }

  /** As if the root had announced itself, but for the places of cells in tuples. */
  async #bindPartition(relation: Relation, announced: SourceTable): Promise<RelationOutcome> {
    const { control } = this.#options
    const id = String(relation.oid) as TableId
    const found = await discoverById(control, [announced.id, id], this.#options)
    const catalog = found.find(({ table }) => table.id === announced.id)
    const { name, schema } = catalog?.table ?? announced
    const base = this.followed(announced.id) ?? announced
    const partition = found.find(({ table }) => table.id === id)
    const order = orderOfRoot(relation, base, { catalog, partition })
    const root = Number(announced.id)
    const shape = asRoot(relation, {
      oid: root,
      schema: name.schema,
      table: name.table,
      columns: order.names,
      key: schema.key,
    })
    const how = { isUncertain: order.isUncertain, catalog }
    const outcome = await this.#bindTable(shape.relation, how)
    const bound = this.relations.get(root)
    this.relations.set(
      relation.oid,
      bound === undefined || bound === 'ignored'
        ? 'ignored'
        : bindPartition(relation, shape, bound, this.#options.partitions?.unproven(relation.oid)),
    )
    return outcome
  }

  /** `catalog`: of the table, where it was looked at just now. */
  async #bindTable(
    relation: Relation,
    how: { readonly isUncertain?: boolean; readonly catalog?: CatalogTable | undefined } = {},
  ): Promise<RelationOutcome> {
    const { isUncertain = false } = how
    const announced = this.#announced.get(String(relation.oid))
    if (announced === undefined) {
      this.relations.set(relation.oid, 'ignored')
      return { kind: 'ignored' }
    }
    const base = this.followed(announced.id)
    const { described } = this.#options
    const isUnchanged =
      base !== undefined && !isUncertain && described?.isUnchanged(announced.id) === true
    const told = base === undefined ? undefined : described?.take(base.id, base.schema, relation)
    const catalog = told?.catalog ?? how.catalog ?? (await this.#catalogOf(announced))
    // A publication of version 18 may send generated columns, which no copy has.
    const generated = new Set(catalog?.generated)
    const sent = relation.columns.filter((column) => !generated.has(column.name))
    const columns = await this.#columns({ ...relation, columns: sent }, catalog)
    if (isUnchanged && isAsBefore(relation, base, columns)) {
      const mapped = this.#mapped(base, columns)
      return this.#bindAs(relation, base, { mapped }) ?? { kind: 'bound' }
    }
    const identified = identityOf(relation, catalog, base ?? announced)
    if (identified === undefined) {
      return this.#gap(relation, announced, 'the table has no usable key any more')
    }
    const mapped = this.#mapped(announced, columns, identified.key)
    const name = { ...announced.name, schema: relation.schema, table: relation.table }
    const seen = { columns, mapped, ...identified, name }
    if (base === undefined) {
      const schema = {
        ...withIdentity(announced.schema, identified),
        columns: mapped.map(({ column }) => column),
      }
      return this.#bindAs(relation, { ...announced, name, schema }, seen) ?? { kind: 'bound' }
    }
    const said = { seen, isCatalog: false, isUncertain, ...told }
    const decision = this.#decisions.decide(base, catalog, said)
    if (decision.kind === 'same') return this.#bindAs(relation, base, seen) ?? { kind: 'bound' }
    const { table, change } = decision
    return this.#bindAs(relation, table, seen) ?? { kind: 'bound', changed: { table, change } }
  }

  async #catalogOf({ id }: SourceTable): Promise<CatalogTable | undefined> {
    const [catalog] = await discoverById(this.#options.control, [id], this.#options)
    return catalog
  }

  #mapped(
    { name, schema }: SourceTable,
    columns: readonly CatalogColumn[],
    key = schema.key,
  ): SeenColumns['mapped'] {
    return columns.map((column) => {
      const notice = unfitNotice(this.#options.log, shownTable(name), column.name)
      return mapColumn(column, key.includes(column.name), notice)
    })
  }

  /** undefined: bound. */
  #bindAs(
    relation: Relation,
    table: SourceTable,
    { mapped }: Pick<SeenColumns, 'mapped'>,
  ): RelationOutcome | undefined {
    const decoders = mapped.map(({ decoder }) => decoder)
    const outcome = bindRelation(relation, table, decoders)
    if (outcome.kind !== 'bound') {
      return this.#gap(relation, table, `${outcome.kind}: ${outcome.columns.join(', ')}`)
    }
    this.relations.set(relation.oid, outcome.binding)
    this.#announced.set(table.id, table)
    return undefined
  }

  #gap(relation: Relation, table: SourceTable, reason: string): RelationOutcome {
    this.relations.set(relation.oid, 'ignored')
    return { kind: 'gap', table: table.id, reason }
  }

  /** The relation's columns with what is known of their types; numbered if the catalog has just them. */
  async #columns(
    relation: Relation,
    catalog: CatalogTable | undefined,
  ): Promise<readonly CatalogColumn[]> {
    const known = catalog?.columns ?? []
    if (isSameList(relation.columns, known)) return known
    const types = await discoverTypes(this.#options.control, relation.columns)
    return relation.columns.map(({ name, typeOid, typmod }, place) => {
      const now = known.find((column) => column.name === name)
      const type = types[place] ?? { typeOid, typmod, typtype: 'b', formatted: `type ${typeOid}` }
      const isNotNull = now?.isNotNull === true && now.typeOid === typeOid
      return { ...type, name, isNotNull, attnum: undefined }
    })
  }
}

/**
 * Which columns of its root those of a partition are. What was dropped since moves places, and what
 * was renamed as well then says nothing certain.
 */
function orderOfRoot(
  relation: Relation,
  { schema }: SourceTable,
  now: { readonly catalog: CatalogTable | undefined; readonly partition: CatalogTable | undefined },
): { readonly names: readonly string[]; readonly isUncertain: boolean } {
  const namesOf = (columns: readonly { readonly name: string }[] = []): string[] =>
    columns.map(({ name }) => name)
  const announced = namesOf(relation.columns)
  const [root, partition] = [namesOf(now.catalog?.columns), namesOf(now.partition?.columns)]
  const later = new Map(now.catalog?.columns.map(({ attnum, name }) => [attnum, name]))
  const isDropped = schema.columns.some(({ id }) => id !== undefined && !later.has(id))
  const isNow = isDeepStrictEqual(announced, partition)
  if (isNow || (!isDropped && announced.length <= partition.length)) {
    return { names: inOrderOfRoot(announced, { root, partition }), isUncertain: false }
  }
  const before = namesOf(schema.columns)
  const names = new Set(announced)
  const isAsBefore = before.length === names.size && before.every((name) => names.has(name))
  const isRenamed = schema.columns.some(
    ({ id, name }) => id !== undefined && (later.get(id) ?? name) !== name,
  )
  const columns = [...new Set(isAsBefore ? before : [...root, ...before])]
  return { names: columns, isUncertain: isRenamed }
}

/** The stream announces just what is on record, whatever the catalog says by now. */
function isAsBefore(
  relation: Relation,
  { schema }: SourceTable,
  columns: readonly CatalogColumn[],
): boolean {
  const identified =
    schema.identity === 'insert-only' ? schema : identityOf(relation, undefined, { schema })
  return (
    identified?.identity === schema.identity &&
    isDeepStrictEqual(identified?.key, schema.key) &&
    columns.length === schema.columns.length &&
    columns.every(({ name, formatted }, place) => {
      const known = schema.columns[place]
      return known?.name === name && known.sourceType === formatted
    })
  )
}

/**
 * How rows are identified at that place in the log. A table that is followed for its inserts alone
 * stays so: the publication has nothing else of it.
 */
function identityOf(
  relation: Relation,
  catalog: CatalogTable | undefined,
  announced: Pick<SourceTable, 'schema'>,
): Identified | undefined {
  const { identity } = announced.schema
  if (identity === 'insert-only') return { key: [], identity }
  const key = keyOf(relation, catalog, announced)
  if (key !== undefined) return { key, identity: undefined }
  return relation.replicaIdentity === 'f' ? { key: [], identity: 'full-row' } : undefined
}

/**
 * The key at that place in the log. The announcement names its columns but not their order; with
 * identity full it names every column, and only the catalog knows whether there still is a key.
 */
function keyOf(
  relation: Relation,
  catalog: CatalogTable | undefined,
  announced: Pick<SourceTable, 'schema'>,
): readonly string[] | undefined {
  const flagged = relation.columns.filter((column) => column.isKey).map((column) => column.name)
  const isFull = relation.replicaIdentity === 'f'
  const known = catalog?.table.schema.key
  const candidates = isFull && known !== undefined ? [known] : [known ?? [], announced.schema.key]
  for (const key of candidates) {
    const isSent = key.length > 0 && key.every((name) => flagged.includes(name))
    if (isSent && (isFull || key.length === flagged.length)) return key
  }
  return isFull || flagged.length === 0 ? undefined : flagged
}
