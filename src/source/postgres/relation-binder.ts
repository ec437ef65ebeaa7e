/**
 * What the stream announces about a table, as a table of ours. The stream speaks of the table as it
 * was at that place in the log; the catalog, which knows it only as it is now, is asked for what
 * the announcement leaves out.
 */
import type { Log } from '../../observe/log.ts'
import { sameTableSchema, type SourceTable, type TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import {
  type CatalogColumn,
  type CatalogTable,
  discoverById,
  discoverTypes,
  mapColumn,
  unfitNotice,
} from './discover.ts'
import { asRoot, bindPartition } from './partition-binding.ts'
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
  /** `changed`: the schema differs from the one last announced. */
  | { readonly kind: 'bound'; readonly changed: SourceTable | undefined }
  /** The table's rows cannot be identified from here on; they are skipped. */
  | { readonly kind: 'gap'; readonly table: TableId; readonly reason: string }

/** Whose partition a relation is. */
export interface PartitionLookup {
  rootOf(oid: number): Promise<TableId | undefined>
  unproven(oid: number): PartitionWatch | undefined
}

export class RelationBinder {
  /** By oid, for the decoder. */
  readonly relations = new Map<number, RelationBinding | 'ignored'>()
  readonly #control: Pick<Control, 'query'>
  readonly #log: Log
  readonly #partitions: PartitionLookup | undefined
  /** As the sink knows them. */
  readonly #announced = new Map<string, SourceTable>()

  constructor(
    control: Pick<Control, 'query'>,
    log: Log,
    tables: readonly SourceTable[],
    partitions?: PartitionLookup,
  ) {
    this.#control = control
    this.#log = log
    this.#partitions = partitions
    for (const table of tables) this.#announced.set(table.id, table)
  }

  /** Sets `relations` for the relation. */
  async bind(relation: Relation): Promise<RelationOutcome> {
    if (this.#announced.has(String(relation.oid))) return await this.#bindTable(relation)
    const root = await this.#partitions?.rootOf(relation.oid)
    const announced = root === undefined ? undefined : this.#announced.get(root)
    if (announced === undefined) return await this.#bindTable(relation)
    return await this.#bindPartition(relation, announced)
  }

  /** As if the root had announced itself, but for the places of cells in tuples. */
  async #bindPartition(relation: Relation, announced: SourceTable): Promise<RelationOutcome> {
    const [catalog] = await discoverById(this.#control, [announced.id], this.#log)
    const { name, schema } = catalog?.table ?? announced
    const before = announced.schema.columns.map((column) => column.name)
    const now = catalog?.columns.map((column) => column.name) ?? []
    const names = new Set(relation.columns.map((column) => column.name))
    const isAsBefore = before.length === names.size && before.every((one) => names.has(one))
    const root = Number(announced.id)
    const shape = asRoot(relation, {
      oid: root,
      schema: name.schema,
      table: name.table,
      columns: [...new Set(isAsBefore ? before : [...now, ...before])],
      key: schema.key,
    })
    const outcome = await this.#bindTable(shape.relation)
    const bound = this.relations.get(root)
    this.relations.set(
      relation.oid,
      bound === undefined || bound === 'ignored'
        ? 'ignored'
        : bindPartition(relation, shape, bound, this.#partitions?.unproven(relation.oid)),
    )
    return outcome
  }

  async #bindTable(relation: Relation): Promise<RelationOutcome> {
    const announced = this.#announced.get(String(relation.oid))
    if (announced === undefined) {
      this.relations.set(relation.oid, 'ignored')
      return { kind: 'ignored' }
    }
    const [catalog] = await discoverById(this.#control, [announced.id], this.#log)
    const columns = await this.#columns(relation, catalog, announced)
    const key = keyOf(relation, catalog, announced)
    if (key === undefined) {
      return this.#gap(relation, announced, 'the table has no usable key any more')
    }
    return this.#bindAs(relation, announced, columns, key)
  }

  #bindAs(
    relation: Relation,
    announced: SourceTable,
    columns: readonly CatalogColumn[],
    key: readonly string[],
  ): RelationOutcome {
    const before = new Map(announced.schema.columns.map((column) => [column.name, column]))
    const mapped = columns.map((column) => {
      const warn = unfitNotice(this.#log, shownTable(announced.name), column.name)
      const one = mapColumn(column, key.includes(column.name), warn)
      // Once nullable, always nullable: rows from before may still come.
      const nullable = one.column.nullable || before.get(column.name)?.nullable === true
      return { ...one, column: { ...one.column, nullable } }
    })
    const schema = { columns: mapped.map(({ column }) => column), key }
    const isSame = sameTableSchema(schema, announced.schema)
    const table: SourceTable = isSame
      ? announced
      : {
          ...announced,
          name: { ...announced.name, schema: relation.schema, table: relation.table },
          schema,
        }
    const decoders = mapped.map(({ decoder }) => decoder)
    const outcome = bindRelation(relation, table, decoders)
    if (outcome.kind !== 'bound') {
      return this.#gap(relation, announced, `${outcome.kind}: ${outcome.columns.join(', ')}`)
    }
    this.relations.set(relation.oid, outcome.binding)
    this.#announced.set(table.id, table)
    return { kind: 'bound', changed: isSame ? undefined : table }
  }

  #gap(relation: Relation, table: SourceTable, reason: string): RelationOutcome {
    this.relations.set(relation.oid, 'ignored')
    return { kind: 'gap', table: table.id, reason }
  }

  /** The relation's columns with what is known of their types. */
  async #columns(
    relation: Relation,
    catalog: CatalogTable | undefined,
    announced: SourceTable,
  ): Promise<readonly CatalogColumn[]> {
    const known = catalog?.columns ?? []
    const isCurrent =
      known.length === relation.columns.length &&
      relation.columns.every(({ name, typeOid, typmod }, place) => {
        const column = known[place]
        return column?.name === name && column.typeOid === typeOid && column.typmod === typmod
      })
    if (isCurrent) return known
    const types = await discoverTypes(this.#control, relation.columns)
    // The catalog has gone on; whether a column was made again shows when the stream gets there.
    const ids = new Map(announced.schema.columns.map((column) => [column.name, column.id]))
    return relation.columns.map(({ name, typeOid, typmod }, place) => {
      const now = known.find((column) => column.name === name)
      const type = types[place] ?? { typeOid, typmod, typtype: 'b', formatted: `type ${typeOid}` }
      const isNotNull = now?.isNotNull === true && now.typeOid === typeOid
      return { ...type, name, isNotNull, attnum: ids.get(name) }
    })
  }
}

/**
 * The key at that place in the log. The announcement names its columns but not their order; with
 * identity full it names every column.
 */
function keyOf(
  relation: Relation,
  catalog: CatalogTable | undefined,
  announced: SourceTable,
): readonly string[] | undefined {
  if (relation.replicaIdentity === 'n') return undefined
  const flagged = relation.columns.filter((column) => column.isKey).map((column) => column.name)
  const isFull = relation.replicaIdentity === 'f'
  const candidates = [catalog?.table.schema.key ?? [], announced.schema.key]
  for (const key of candidates) {
    const isSent = key.length > 0 && key.every((name) => flagged.includes(name))
    if (isSent && (isFull || key.length === flagged.length)) return key
  }
  return isFull || flagged.length === 0 ? undefined : flagged
}
