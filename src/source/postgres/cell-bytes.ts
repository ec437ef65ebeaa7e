/** boolean (`t`, `f`) and bytea (hex form, `\x` and two digits a byte). */
import type { BooleanBuilder, BytesBuilder } from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'

const letterT = 116
const letterF = 102
const backslash = 92
const letterX = 120

export function appendBoolean(
  builder: BooleanBuilder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  const byte = bytes.getUint8(start)
  if (end - start !== 1 || (byte !== letterT && byte !== letterF)) throw malformedCell('boolean', 0)
  builder.append(byte === letterT)
}

/** Value of a hex digit's byte; 255 for every other byte. */
const nibbles = new Uint8Array(256).fill(255)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  nibbles[digit.charCodeAt(0)] = value
  nibbles[digit.toUpperCase().charCodeAt(0)] = value
}

export function appendHex(
  builder: BytesBuilder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  const length = (end - start - 2) / 2
  if (length < 0 || bytes.getUint8(start) !== backslash || bytes.getUint8(start + 1) !== letterX) {
    throw malformedCell('bytea in hex form (bytea_output must be hex)', 0)
  }
  if (!Number.isInteger(length)) throw malformedCell('bytea', end - start)
  let seen = 0
  for (let at = start + 2; at < end; at++) seen |= nibbles[bytes.getUint8(at)] as number
  if (seen > 15) throw malformedCell('bytea', 2)
  let to = builder.reserve(length)
  const target = builder.buffer
  for (let at = start + 2; at < end; at += 2) {
    const high = nibbles[bytes.getUint8(at)] as number
    target[to++] = (high << 4) | (nibbles[bytes.getUint8(at + 1)] as number)
  }
}
