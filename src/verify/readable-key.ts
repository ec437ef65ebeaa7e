/** The canonical text of a key (see `source/verification.ts`) for people. */
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { CanonicalColumn } from './canonical-sql.ts'

/** `v1:7v5:18419` and an integer `id` and a date `day` → `id=7, day=2020-06-06`. */
export function readableKey(text: string, key: readonly CanonicalColumn[]): string {
  let bytes = Buffer.from(text, 'utf8')
  return key
    .map(({ name, type }) => {
      const head = /^(?:n|v(\d+):)/.exec(bytes.toString('latin1'))
      const length = Number(head?.[1] ?? 0)
      const start = head?.[0].length ?? 0
      const cell = bytes.subarray(start, start + length).toString('utf8')
      bytes = bytes.subarray(start + length)
      return `${name}=${head?.[0] === 'n' ? 'NULL' : readableCell(cell, type)}`
    })
    .join(', ')
}

function readableCell(text: string, type: CanonicalType): string {
  switch (type.kind) {
    case 'boolean':
      return text === 't' ? 'true' : 'false'
    case 'float32':
    case 'float64':
      return /^[01]+$/.test(text) ? floatOf(text) : text
    case 'decimal':
      return decimalOf(text, type.scale)
    case 'binary':
      return `\\x${text}`
    case 'date':
      return isoOf(BigInt(text) * 86_400_000_000n).slice(0, 10)
    case 'timestamp':
      return `${isoOf(BigInt(text))}+00`
    case 'timestamp_ntz':
      return isoOf(BigInt(text))
    default:
      return text
  }
}

/** Of 32 or 64 bits; as short as tells the value from every other one. */
function floatOf(bits: string): string {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, BigInt(`0b${bits.padEnd(64, '0')}`))
  const value = bits.length === 32 ? view.getFloat32(0) : view.getFloat64(0)
  if (Object.is(value, -0)) return '-0'
  if (bits.length !== 32 || !Number.isFinite(value)) return String(value)
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return String(short)
  }
  return String(Number(value.toPrecision(9)))
}

function decimalOf(unscaled: string, scale: number): string {
  if (scale <= 0) return unscaled
  const [, sign = '', digits = ''] = /^(-?)(\d+)$/.exec(unscaled) ?? []
  const padded = digits.padStart(scale + 1, '0')
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`
}

/** `2020-06-06 01:02:03`, with as many places of a second as there are. */
function isoOf(microseconds: bigint): string {
  const micros = ((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = Number((microseconds - micros) / 1_000_000n)
  const text = new Date(seconds * 1000).toISOString().replace('T', ' ').slice(0, 19)
  const fraction = String(micros).padStart(6, '0').replace(/0+$/, '')
  return fraction === '' ? text : `${text}.${fraction}`
}
