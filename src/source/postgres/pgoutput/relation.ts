/**
 * What the stream announces about a table (message `R`), and how its tuples become rows of a
 * table as the rest of the product knows it.
 */
import type { SourceTable } from '../../table-schema.ts'
import type { CellDecoder } from '../cell-decoder.ts'
import { MessageReader } from './message-reader.ts'

/** `pg_class.relreplident`: default, nothing, full, index. */
export type ReplicaIdentity = 'd' | 'n' | 'f' | 'i'

export interface RelationColumn {
  readonly name: string
  /** Part of the replica identity: sent in `K` tuples. With identity full: every column. */
  readonly isKey: boolean
  /** As declared: a domain column has the domain's oid. */
  readonly typeOid: number
  readonly typmod: number
}

export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly table: string
  readonly replicaIdentity: ReplicaIdentity
  /** In tuple order. */
  readonly columns: readonly RelationColumn[]
}

/** Told of rows of a partition while it is not known whether all its rows were delivered. */
export interface PartitionWatch {
  readonly isOver: boolean
  note(xid: number, kind: 'added' | 'removed'): void
}

/** How tuples of one relation become rows of one table. Made by `bindRelation`. */
export interface RelationBinding {
  readonly relation: Relation
  readonly table: SourceTable
  /** For each column of the table's schema: its place in the tuple, and its decoder. */
  readonly places: Int32Array
  readonly decoders: readonly CellDecoder[]
  /** Places of the table's key columns. */
  readonly keyPlaces: Int32Array
  /** The relation is one of several that hold the rows of the table. */
  readonly partition?: { readonly watch: PartitionWatch | undefined }
}

/**
 * The caller's knowledge of relations by oid: a binding, or `ignored` for a table nobody wants.
 * The decoder only reads it. An oid that is not in it must not get row messages.
 */
export type RelationMap = ReadonlyMap<number, RelationBinding | 'ignored'>

export type BindOutcome =
  | { readonly kind: 'bound'; readonly binding: RelationBinding }
  /** The stream does not send these columns of the table. */
  | { readonly kind: 'columns-missing'; readonly columns: readonly string[] }
  /** The replica identity does not contain these columns of the table's key. */
  | { readonly kind: 'key-not-sent'; readonly columns: readonly string[] }

/** `decoders` are those of `table.schema.columns`, in their order. */
export function bindRelation(
  relation: Relation,
  table: SourceTable,
  decoders: readonly CellDecoder[],
): BindOutcome {
  const placeOf = new Map(relation.columns.map((column, place) => [column.name, place]))
  const names = table.schema.columns.map((column) => column.name)
  const missing = [...names, ...table.schema.key].filter((name) => !placeOf.has(name))
  if (missing.length > 0) return { kind: 'columns-missing', columns: missing }
  const places = Int32Array.from(names, (name) => placeOf.get(name) ?? -1)
  const keyPlaces = Int32Array.from(table.schema.key, (name) => placeOf.get(name) ?? -1)
  const notSent = table.schema.key.filter(
    (name) => relation.columns[placeOf.get(name) ?? -1]?.isKey !== true,
  )
  if (notSent.length > 0) return { kind: 'key-not-sent', columns: notSent }
  return {
    kind: 'bound',
    binding: { relation, table, places, decoders, keyPlaces },
  }
}

const replicaIdentities: readonly ReplicaIdentity[] = ['d', 'n', 'f', 'i']

/** Message `R` (protocol-logicalrep-message-formats, Relation). */
export function readRelation(bytes: Uint8Array, start: number, end: number): Relation {
  const reader = new MessageReader(bytes, start, end)
  const oid = reader.uint32()
  const schema = reader.text()
  const table = reader.text()
  const identity = String.fromCharCode(reader.uint8())
  const replicaIdentity = replicaIdentities.find((known) => known === identity)
  if (replicaIdentity === undefined) throw reader.error('unknown replica identity')
  const count = reader.uint16()
  const columns: RelationColumn[] = []
  for (let index = 0; index < count; index++) {
    const isKey = (reader.uint8() & 1) === 1
    const name = reader.text()
    columns.push({ name, isKey, typeOid: reader.uint32(), typmod: reader.int32() })
  }
  reader.finish()
  // An empty schema name stands for pg_catalog.
  return { oid, schema: schema === '' ? 'pg_catalog' : schema, table, replicaIdentity, columns }
}
