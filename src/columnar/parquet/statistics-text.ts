/** Extremes as the canonical texts of `ColumnStatistics`. */
import type { ScalarType } from '../canonical-type.ts'
import type { Extremes } from './extremes.ts'
import { lowerBound, textOf, upperBound } from './text-bounds.ts'

const microsPerDay = 86_400_000_000n
/** Days from 1970-01-01 to 0001-01-01 and to 9999-12-31: what four digits of a year can say. */
const firstDay = -719_162
const lastDay = 2_932_896
const millisPerDay = 86_400_000

/** Bounds in canonical text; a side is missing when it has no such text. */
export function textExtremes(
  type: ScalarType,
  extremes: Extremes,
): { readonly min?: string; readonly max?: string } {
  const min = sideText(type, extremes, 'min')
  const max = sideText(type, extremes, 'max')
  return { ...(min !== undefined && { min }), ...(max !== undefined && { max }) }
}

function sideText(type: ScalarType, extremes: Extremes, side: 'min' | 'max'): string | undefined {
  if (type.kind === 'boolean' || type.kind === 'binary') return undefined
  switch (extremes.kind) {
    case 'none':
    case 'unordered':
      return undefined
    case 'number':
      return numberText(type, extremes[side])
    case 'bigint':
      return bigIntText(type, extremes[side])
    case 'bytes': {
      const text = textOf(extremes[side])
      if (text === undefined) return undefined
      return (side === 'min' ? lowerBound(text) : upperBound(text))?.text
    }
    default:
      return extremes satisfies never
  }
}

function numberText(type: ScalarType, value: number): string | undefined {
  switch (type.kind) {
    case 'date':
      return dateText(value)
    case 'decimal':
      return decimalText(BigInt(value), type.scale)
    case 'float32':
      return float32Text(value)
    default:
      return String(value)
  }
}

function bigIntText(type: ScalarType, value: bigint): string | undefined {
  if (type.kind === 'decimal') return decimalText(value, type.scale)
  if (type.kind === 'timestamp' || type.kind === 'timestamp_ntz') return timestampText(value)
  return value.toString()
}

function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : ''
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  if (scale === 0) return sign + digits
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** The fewest digits that give the same float32 back; 9 always do. */
function float32Text(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return String(Number(text))
  }
  return Number.isFinite(value) ? String(Number(value.toPrecision(9))) : String(value)
}

function dateText(days: number): string | undefined {
  if (days < firstDay || days > lastDay) return undefined
  return new Date(days * millisPerDay).toISOString().slice(0, 10)
}

function timestampText(micros: bigint): string | undefined {
  // BigInt division rounds towards zero; the day of an instant before 1970 is the one below.
  const rest = ((micros % microsPerDay) + microsPerDay) % microsPerDay
  const date = dateText(Number((micros - rest) / microsPerDay))
  if (date === undefined) return undefined
  const time = new Date(Number(rest / 1000n)).toISOString().slice(11, 23)
  return `${date}T${time}${(rest % 1000n).toString().padStart(3, '0')}`
}
