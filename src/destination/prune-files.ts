/** Leaves out files that cannot hold a key, by the bounds of the first key column. Pure. */
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { parseDeltaStats } from '../delta/statistics.ts'
import { timestampText } from './write-data-file.ts'

/** Smallest and largest value of the first key column among the changes, in the engine's text. */
export interface KeyRange {
  readonly column: string
  readonly type: CanonicalType
  readonly min: string
  readonly max: string
}

/** False only when the file's statistics prove that no row has a key in the range. */
export function mayHoldKeys(stats: string | undefined, range: KeyRange): boolean {
  const bounds = parseDeltaStats(stats)
  const min = bounds?.minValues.get(range.column)
  const max = bounds?.maxValues.get(range.column)
  return !(
    (max !== undefined && isBelow(max, range.min, range.type)) ||
    (min !== undefined && isBelow(range.max, min, range.type))
  )
}

/** True when `a` is certainly less than `b`. Rounding is monotonic, so it never says too much. */
function isBelow(a: string, b: string, type: CanonicalType): boolean {
  switch (type.kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'decimal':
    case 'float32':
    case 'float64':
      return Number(a) < Number(b)
    case 'string':
      return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0
    case 'date':
      return isPlainDate(a) && isPlainDate(b) && a < b
    case 'timestamp':
    case 'timestamp_ntz': {
      const [left, right] = [milliseconds(a), milliseconds(b)]
      return left !== undefined && right !== undefined && left < right
    }
    default:
      return false
  }
}

function isPlainDate(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text)
}

/** Cut to milliseconds, as the log's bounds are: comparable as text. */
function milliseconds(text: string): string | undefined {
  const spaced = text.replace('T', ' ').replace('Z', '')
  return timestampText(spaced)?.slice(0, 'YYYY-MM-DDTHH:MM:SS.fff'.length)
}
