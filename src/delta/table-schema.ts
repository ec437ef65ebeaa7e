/** `metaData.schemaString`: canonical types ↔ Delta types. PROTOCOL.md, "Schema Serialization Format". */
import { SluiceError } from '../base/errors.ts'
import type { CanonicalType, ScalarType } from '../columnar/canonical-type.ts'

/** A column of a table that we make or write to. */
export interface DeltaColumn {
  readonly name: string
  readonly type: CanonicalType
  /** Default true. */
  readonly nullable?: boolean
  readonly metadata?: Readonly<Record<string, unknown>>
}

/** Any type the protocol knows: a primitive's name, or a nested one. */
export type DeltaType =
  | string
  | { readonly type: 'struct'; readonly fields: readonly DeltaField[] }
  | { readonly type: 'array'; readonly elementType: DeltaType; readonly containsNull: boolean }
  | {
      readonly type: 'map'
      readonly keyType: DeltaType
      readonly valueType: DeltaType
      readonly valueContainsNull: boolean
    }

export interface DeltaField {
  readonly name: string
  readonly type: DeltaType
  readonly nullable: boolean
  readonly metadata: Readonly<Record<string, unknown>>
}

const primitiveNames = {
  boolean: 'boolean',
  int8: 'byte',
  int16: 'short',
  int32: 'integer',
  int64: 'long',
  float32: 'float',
  float64: 'double',
  string: 'string',
  binary: 'binary',
  date: 'date',
  timestamp: 'timestamp',
  timestamp_ntz: 'timestamp_ntz',
} as const satisfies Record<Exclude<ScalarType['kind'], 'decimal'>, string>

type PrimitiveKind = keyof typeof primitiveNames

const kindOfName = new Map(
  Object.entries(primitiveNames).map(([kind, name]) => [name as string, kind as PrimitiveKind]),
)

function deltaTypeOf(type: CanonicalType): DeltaType {
  if (type.kind === 'array') {
    return { type: 'array', elementType: deltaTypeOf(type.element), containsNull: true }
  }
  if (type.kind === 'decimal') return `decimal(${type.precision},${type.scale})`
  return primitiveNames[type.kind]
}

/** undefined for a type that has no canonical counterpart (struct, map, variant, nested array). */
function canonicalTypeOf(type: DeltaType): CanonicalType | undefined {
  if (typeof type === 'string') return scalarTypeOf(type)
  if (type.type !== 'array' || typeof type.elementType !== 'string') return undefined
  const element = scalarTypeOf(type.elementType)
  return element === undefined ? undefined : { kind: 'array', element }
}

function scalarTypeOf(name: string): ScalarType | undefined {
  const kind = kindOfName.get(name)
  if (kind !== undefined) return { kind }
  if (name === 'decimal') return { kind: 'decimal', precision: 10, scale: 0 }
  const decimal = /^decimal\((\d+),\s*(\d+)\)$/.exec(name)
  if (decimal === null) return undefined
  return { kind: 'decimal', precision: Number(decimal[1]), scale: Number(decimal[2]) }
}

/** Columns as a `schemaString`, in order. */
export function deltaSchemaString(columns: readonly DeltaColumn[]): string {
  const fields = columns.map(({ name, type, nullable, metadata }) => ({
    name,
    type: deltaTypeOf(type),
    nullable: nullable ?? true,
    metadata: metadata ?? {},
  }))
  return JSON.stringify({ type: 'struct', fields })
}

/** Top-level fields, in order. Throws DELTA_LOG_CORRUPT when the text is no schema. */
export function parseDeltaSchema(schemaString: string): readonly DeltaField[] {
  try {
    const parsed: unknown = JSON.parse(schemaString)
    if (isStruct(parsed)) return parsed.fields
  } catch (error) {
    throw corrupt(schemaString, error)
  }
  throw corrupt(schemaString)
}

function isStruct(value: unknown): value is { readonly fields: readonly DeltaField[] } {
  if (typeof value !== 'object' || value === null || !('fields' in value)) return false
  return (
    Array.isArray(value.fields) &&
    value.fields.every(
      (field: unknown) =>
        typeof field === 'object' && field !== null && 'name' in field && 'type' in field,
    )
  )
}

/** Columns of a table that uses canonical types alone. Throws DELTA_UNSUPPORTED_TYPE with the name. */
export function columnsOfDeltaSchema(schemaString: string): readonly DeltaColumn[] {
  return parseDeltaSchema(schemaString).map(({ name, type, nullable, metadata }) => {
    const canonical = canonicalTypeOf(type)
    if (canonical === undefined) {
      const shown = typeof type === 'string' ? type : type.type
      const text = `column "${name}" has the type ${shown}`
      throw new SluiceError('DELTA_UNSUPPORTED_TYPE', text)
    }
    return { name, type: canonical, nullable, metadata }
  })
}

function corrupt(schemaString: string, cause?: unknown): SluiceError {
  const text = `"${schemaString.slice(0, 80)}" is not a table schema`
  return new SluiceError('DELTA_LOG_CORRUPT', text, { cause })
}
