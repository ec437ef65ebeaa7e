/**
 * The one value model of snapshot and stream. A source maps its own types to these; the Parquet
 * encoder and the Delta schema are derived from these alone.
 */
export type ScalarType =
  | { readonly kind: 'boolean' }
  | { readonly kind: 'int8' }
  | { readonly kind: 'int16' }
  | { readonly kind: 'int32' }
  | { readonly kind: 'int64' }
  | { readonly kind: 'float32' }
  | { readonly kind: 'float64' }
  /** 1 ≤ precision ≤ 38, 0 ≤ scale ≤ precision. */
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  /** UTF-8. */
  | { readonly kind: 'string' }
  | { readonly kind: 'binary' }
  /** Days since 1970-01-01, proleptic Gregorian. */
  | { readonly kind: 'date' }
  /** Microseconds since 1970-01-01T00:00:00Z. */
  | { readonly kind: 'timestamp' }
  /** Microseconds since 1970-01-01T00:00:00 without a time zone. */
  | { readonly kind: 'timestamp_ntz' }

export type CanonicalType = ScalarType | { readonly kind: 'array'; readonly element: ScalarType }
