/**
 * Nested records → Parquet columns: definition and repetition levels and PLAIN values of every
 * leaf. Spec: parquet-format README.md "Nested Encoding", LogicalTypes.md "Lists" and "Maps".
 * Made for checkpoints: thousands of small records, not bulk rows.
 */

/** Every field is optional. Maps are of string to nullable string, lists of strings. */
export type RecordType =
  | { readonly kind: 'boolean' | 'int32' | 'int64' | 'string' | 'list' | 'map' }
  | { readonly kind: 'struct'; readonly fields: RecordFields }

export type RecordFields = Readonly<Record<string, RecordType>>

export type LeafKind = 'boolean' | 'int32' | 'int64' | 'string'

/** One leaf column, filled record by record. */
export interface LeafColumn {
  readonly path: readonly string[]
  readonly kind: LeafKind
  readonly maxDefinition: number
  readonly maxRepetition: number
  readonly definitions: number[]
  readonly repetitions: number[]
  readonly values: (boolean | number | string)[]
}

/** Puts one field's value into the leaves below it. `reached` is the definition level of its parent. */
interface Shredder {
  put(value: unknown, reached: number, repetition: number): void
  putNothing(reached: number, repetition: number): void
}

export interface RecordColumns {
  /** Depth first, as the schema lists them. */
  readonly leaves: readonly LeafColumn[]
  append(record: Readonly<Record<string, unknown>>): void
}

export function createRecordColumns(fields: RecordFields): RecordColumns {
  const leaves: LeafColumn[] = []
  const shred = structShredder(fields, { path: [], definition: 0, repetition: 0, leaves })
  return { leaves, append: (record) => shred.put(record, 0, 0) }
}

interface Place {
  readonly path: readonly string[]
  /** Levels of the enclosing group when it is there. */
  readonly definition: number
  readonly repetition: number
  readonly leaves: LeafColumn[]
}

function shredderOf(type: RecordType, place: Place): Shredder {
  switch (type.kind) {
    case 'struct':
      return optionalShredder(type.fields, place)
    case 'list':
      return repeatedShredder(place, 'list', [{ name: 'element', isOptional: true }])
    case 'map':
      return repeatedShredder(place, 'key_value', [
        { name: 'key', isOptional: false },
        { name: 'value', isOptional: true },
      ])
    default:
      return leafShredder(addLeaf(type.kind, { ...place, definition: place.definition + 1 }))
  }
}

function optionalShredder(fields: RecordFields, place: Place): Shredder {
  const inner = structShredder(fields, { ...place, definition: place.definition + 1 })
  return {
    put(value, reached, repetition) {
      if (isRecord(value)) inner.put(value, reached + 1, repetition)
      else inner.putNothing(reached, repetition)
    },
    putNothing: (reached, repetition) => inner.putNothing(reached, repetition),
  }
}

/** A group that is there whenever its parent is. */
function structShredder(fields: RecordFields, place: Place): Shredder {
  const members = Object.entries(fields).map(
    ([name, type]) => [name, shredderOf(type, { ...place, path: [...place.path, name] })] as const,
  )
  return {
    put(value, reached, repetition) {
      const record = isRecord(value) ? value : {}
      for (const [name, member] of members) member.put(record[name], reached, repetition)
    },
    putNothing(reached, repetition) {
      for (const [, member] of members) member.putNothing(reached, repetition)
    },
  }
}

function leafShredder(leaf: LeafColumn): Shredder {
  const putNothing = (reached: number, repetition: number): void => {
    leaf.definitions.push(reached)
    leaf.repetitions.push(repetition)
  }
  return {
    put(value, reached, repetition) {
      if (!isScalar(value)) return putNothing(reached, repetition)
      leaf.definitions.push(leaf.maxDefinition)
      leaf.repetitions.push(repetition)
      leaf.values.push(value)
    },
    putNothing,
  }
}

/** An optional group, a repeated group in it, string leaves in that: the form of lists and maps. */
function repeatedShredder(
  place: Place,
  groupName: string,
  members: readonly { readonly name: string; readonly isOptional: boolean }[],
): Shredder {
  const repetitionHere = place.repetition + 1
  const leaves = members.map(({ name, isOptional }) =>
    addLeaf('string', {
      path: [...place.path, groupName, name],
      definition: place.definition + (isOptional ? 3 : 2),
      repetition: repetitionHere,
      leaves: place.leaves,
    }),
  )
  const shredders = leaves.map(leafShredder)
  const putNothing = (reached: number, repetition: number): void => {
    for (const shredder of shredders) shredder.putNothing(reached, repetition)
  }
  return {
    put(value, reached, repetition) {
      const items = itemsOf(value)
      if (items === undefined) return putNothing(reached, repetition)
      if (items.length === 0) return putNothing(reached + 1, repetition)
      items.forEach((item, n) => {
        shredders.forEach((shredder, m) =>
          shredder.put(item[m], reached + 2, n === 0 ? repetition : repetitionHere),
        )
      })
    },
    putNothing,
  }
}

/** Elements of a list as one-tuples, entries of a map as pairs; undefined for neither. */
function itemsOf(value: unknown): readonly (readonly unknown[])[] | undefined {
  if (Array.isArray(value)) return value.map((item: unknown) => [item])
  return isRecord(value) ? Object.entries(value) : undefined
}

function addLeaf(kind: LeafKind, place: Place): LeafColumn {
  const leaf: LeafColumn = {
    path: place.path,
    kind,
    maxDefinition: place.definition,
    maxRepetition: place.repetition,
    definitions: [],
    repetitions: [],
    values: [],
  }
  place.leaves.push(leaf)
  return leaf
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isScalar(value: unknown): value is boolean | number | string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
