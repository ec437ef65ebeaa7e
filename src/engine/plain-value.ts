/** Engine values as plain ones that lose nothing: exact text where JavaScript has no exact type. */
import {
  DuckDBBlobValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
} from '@duckdb/node-api'

export function plainValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof DuckDBBlobValue) return new Uint8Array(value.bytes)
  if (value instanceof DuckDBListValue) return value.items.map(plainValue)
  if (value instanceof DuckDBStructValue) {
    return Object.fromEntries(
      Object.entries(value.entries).map(([name, entry]) => [name, plainValue(entry)]),
    )
  }
  if (value instanceof DuckDBMapValue) {
    return value.entries.map((entry) => [plainValue(entry.key), plainValue(entry.value)])
  }
  // Decimals, dates, times, intervals and UUIDs print themselves exactly.
  // oxlint-disable-next-line typescript/no-base-to-string
  return String(value)
}
