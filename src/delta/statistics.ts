/**
 * `add.stats`: a JSON text. PROTOCOL.md, "Per-file Statistics". Numbers are written digit by digit
 * as the file's statistics give them, never through a double.
 */
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { FileStatistics } from '../columnar/column-statistics.ts'
import type { DeltaColumn } from './table-schema.ts'

/** Spark's default of `delta.dataSkippingNumIndexedCols`. */
const indexedColumnLimit = 32

export interface DeltaStatsOptions {
  /** False for a file that gets a deletion vector: its bounds may be of deleted rows. Default true. */
  readonly tightBounds?: boolean
}

/** `columns` in the table's order; bounds and null counts cover the first 32 of them. */
export function deltaStatsJson(
  statistics: FileStatistics,
  columns: readonly DeltaColumn[],
  options: DeltaStatsOptions = {},
): string {
  const byName = new Map(statistics.columns.map((column) => [column.name, column]))
  const minimums: string[] = []
  const maximums: string[] = []
  const nullCounts: string[] = []
  for (const { name, type } of columns.slice(0, indexedColumnLimit)) {
    const column = byName.get(name)
    if (column === undefined) continue
    const key = JSON.stringify(name)
    const minimum = boundJson(column.min, type)
    const maximum = boundJson(column.max, type)
    if (minimum !== undefined) minimums.push(`${key}:${minimum}`)
    if (maximum !== undefined) maximums.push(`${key}:${maximum}`)
    nullCounts.push(`${key}:${column.nullCount}`)
  }
  const object = (members: readonly string[]): string => `{${members.join(',')}}`
  return object([
    `"numRecords":${statistics.rowCount}`,
    `"minValues":${object(minimums)}`,
    `"maxValues":${object(maximums)}`,
    `"nullCount":${object(nullCounts)}`,
    `"tightBounds":${options.tightBounds ?? true}`,
  ])
}

const integerPattern = /^-?\d+$/
const numberPattern = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i
const datePattern = /^\d{4}-\d\d-\d\d$/
const timestampPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}$/

/** A bound as JSON; undefined when there is none, or none that readers would understand. */
function boundJson(text: string | undefined, type: CanonicalType): string | undefined {
  if (text === undefined) return undefined
  const when = (pattern: RegExp, json: string): string | undefined =>
    pattern.test(text) ? json : undefined
  switch (type.kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
      return when(integerPattern, text)
    case 'decimal':
    case 'float32':
    case 'float64':
      return when(numberPattern, text)
    case 'date':
      return when(datePattern, `"${text}"`)
    case 'timestamp':
      return when(timestampPattern, `"${toMilliseconds(text)}Z"`)
    case 'timestamp_ntz':
      return when(timestampPattern, `"${toMilliseconds(text)}"`)
    case 'string':
      return JSON.stringify(text)
    case 'boolean':
    case 'binary':
    case 'array':
      return undefined
    default:
      return type satisfies never
  }
}

/**
 * Exactly three fraction digits. Cutting the text truncates towards the past on either side of
 * 1970; readers widen a maximum by the 999 µs that may be missing.
 */
function toMilliseconds(text: string): string {
  return text.slice(0, 'YYYY-MM-DDTHH:MM:SS.fff'.length)
}

/** The same statistics for a file that now has a deletion vector. */
export function withLooseBounds(stats: string): string {
  const loose = stats.replace(/"tightBounds"\s*:\s*true/, '"tightBounds":false')
  return loose.includes('"tightBounds"')
    ? loose
    : loose.replace(/\s*\}\s*$/, ',"tightBounds":false}')
}

/** Statistics as read: exact texts of the values, by column name; nested columns are left out. */
export interface FileBounds {
  /** Rows in the file, deleted ones included. */
  readonly numRecords: number
  /** JSON texts of the scalars: digits of numbers, strings without their quotes. */
  readonly minValues: ReadonlyMap<string, string>
  readonly maxValues: ReadonlyMap<string, string>
  readonly nullCount: ReadonlyMap<string, string>
  readonly tightBounds: boolean
}

/** undefined when there are none, or they can not be understood: then nothing may be skipped. */
export function parseDeltaStats(stats: string | undefined): FileBounds | undefined {
  if (stats === undefined) return undefined
  try {
    let parsed = parseExact(stats)
    // ClickHouse wraps the text once more.
    const wrapped = member(parsed, 'stats_json')
    if (typeof wrapped === 'string') parsed = parseExact(wrapped)
    const numRecords = Number(member(parsed, 'numRecords'))
    if (!Number.isSafeInteger(numRecords) || numRecords < 0) return undefined
    return {
      numRecords,
      minValues: scalarsOf(member(parsed, 'minValues')),
      maxValues: scalarsOf(member(parsed, 'maxValues')),
      nullCount: scalarsOf(member(parsed, 'nullCount')),
      tightBounds: member(parsed, 'tightBounds') !== 'false',
    }
  } catch {
    return undefined
  }
}

/** JSON with every number and boolean as the text it was written in. */
function parseExact(text: string): unknown {
  const keepText = (
    _key: string,
    value: unknown,
    context?: { readonly source?: string },
  ): unknown => (typeof value === 'number' || typeof value === 'boolean' ? context?.source : value)
  return JSON.parse(text, keepText)
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return Object.getOwnPropertyDescriptor(value, name)?.value
}

function scalarsOf(value: unknown): ReadonlyMap<string, string> {
  const scalars = new Map<string, string>()
  if (typeof value !== 'object' || value === null) return scalars
  for (const [name, scalar] of Object.entries(value)) {
    if (typeof scalar === 'string') scalars.set(name, scalar)
  }
  return scalars
}
