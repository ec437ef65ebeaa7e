/**
 * Rows of a partition as rows of the table it belongs to. A partition has the same columns by name,
 * but when it was attached they may stand in another order, with dropped ones in between, and its
 * replica identity is its own.
 */
import type { PartitionWatch, Relation, RelationBinding } from './pgoutput/relation.ts'

export interface RootRelation {
  readonly oid: number
  readonly schema: string
  readonly table: string
  /** Names of the columns, in order. */
  readonly columns: readonly string[]
  readonly key: readonly string[]
}

export interface PartitionShape {
  /** The partition as if it were its root: the root's oid, name and order of columns. */
  readonly relation: Relation
  /** For each column of `relation`: its place in the tuples of the partition. */
  readonly places: Int32Array
}

/**
 * Names of the partition's columns in the order of the root, which announces its own names no more
 * than the partition its numbers: names move when columns swap them, places only when one is dropped.
 * So the columns that have these places now say which ones of the root they are. All names are in
 * order; `root` and `partition` as the catalog has them now.
 */
export function inOrderOfRoot(
  announced: readonly string[],
  now: { readonly root: readonly string[]; readonly partition: readonly string[] },
): readonly string[] {
  const rank = new Map(now.root.map((name, place) => [name, place]))
  return announced
    .map((name, place) => ({ name, rank: rank.get(now.partition[place] ?? '') ?? place }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ name }) => name)
}

/** Columns that the root does not have (any more) come last, in the partition's order. */
export function asRoot(partition: Relation, root: RootRelation): PartitionShape {
  const rank = new Map(root.columns.map((name, place) => [name, place]))
  const places = partition.columns
    .map(({ name }, place) => ({ place, rank: rank.get(name) ?? root.columns.length + place }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ place }) => place)
  const flagged = new Set(partition.columns.filter(({ isKey }) => isKey).map(({ name }) => name))
  // An identity of more columns than the key says which row is meant all the same.
  const isEnough =
    partition.replicaIdentity !== 'f' &&
    root.key.length > 0 &&
    root.key.every((name) => flagged.has(name))
  const columns = places.flatMap((place) => {
    const column = partition.columns[place]
    if (column === undefined) return []
    return isEnough ? [{ ...column, isKey: root.key.includes(column.name) }] : [column]
  })
  const { oid, schema, table } = root
  const relation = { ...partition, oid, schema, table, columns }
  return { relation, places: Int32Array.from(places) }
}

/** What was bound for the partition as its root, for the tuples that really come. */
export function bindPartition(
  partition: Relation,
  { places }: PartitionShape,
  asTheRoot: RelationBinding,
  watch: PartitionWatch | undefined,
): RelationBinding {
  const moved = (all: Int32Array): Int32Array => all.map((place) => places[place] ?? -1)
  return {
    ...asTheRoot,
    relation: partition,
    places: moved(asTheRoot.places),
    keyPlaces: moved(asTheRoot.keyPlaces),
    partition: { watch },
  }
}
