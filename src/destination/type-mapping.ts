/** Canonical types as the destination and the embedded engine know them, and what is lost on the way. */
import type { CanonicalType } from '../columnar/canonical-type.ts'

const engineNames = {
  boolean: 'BOOLEAN',
  int8: 'TINYINT',
  int16: 'SMALLINT',
  int32: 'INTEGER',
  int64: 'BIGINT',
  float32: 'FLOAT',
  float64: 'DOUBLE',
  string: 'VARCHAR',
  binary: 'BLOB',
  date: 'DATE',
  timestamp: 'TIMESTAMP WITH TIME ZONE',
  timestamp_ntz: 'TIMESTAMP',
} as const

/** The engine's SQL name of a type; values go there and back unchanged. */
export function engineTypeOf(type: CanonicalType): string {
  if (type.kind === 'array') return `${engineTypeOf(type.element)}[]`
  if (type.kind === 'decimal') return `DECIMAL(${type.precision},${type.scale})`
  return engineNames[type.kind]
}
