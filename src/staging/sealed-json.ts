/**
 * JSON that notices damage: one object on one line whose last member is the CRC-32 of every byte
 * before it, so that a flipped bit is found even where the JSON still parses.
 * `{"format":1,…,"crc32":"0f1e2d3c"}` and a line feed; see docs/staging-format.md, "Sealed JSON".
 */
import { crc32 } from 'node:zlib'

const sealPattern = /^,"crc32":"([0-9a-f]{8})"\}\n$/
const sealLength = ',"crc32":"00000000"}\n'.length

/** `value` is an object with at least one member and none named `crc32`. */
export function encodeSealedJson(value: object): Uint8Array {
  const body = Buffer.from(JSON.stringify(value).slice(0, -1), 'utf8')
  const seal = `,"crc32":"${crc32(body).toString(16).padStart(8, '0')}"}\n`
  return Buffer.concat([body, Buffer.from(seal, 'latin1')])
}

export type SealedJson =
  | { readonly kind: 'whole'; readonly value: unknown }
  /** `reason` says what is wrong with the bytes. */
  | { readonly kind: 'damaged'; readonly reason: string }

/** The value without its `crc32` member. */
export function decodeSealedJson(bytes: Uint8Array): SealedJson {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const at = Math.max(0, text.length - sealLength)
  const seal = sealPattern.exec(text.toString('latin1', at))?.[1]
  if (seal === undefined) {
    return { kind: 'damaged', reason: `its ${bytes.byteLength} bytes do not end with a crc32` }
  }
  const body = text.subarray(0, at)
  const found = crc32(body).toString(16).padStart(8, '0')
  if (found !== seal) {
    return { kind: 'damaged', reason: `its crc32 is ${found}, it should be ${seal}` }
  }
  try {
    return { kind: 'whole', value: JSON.parse(`${body.toString('utf8')}}`) }
  } catch {
    return { kind: 'damaged', reason: 'it is not JSON' }
  }
}

/** The seal alone, from 0 to 2^32 - 1: tells a file from another of its name. undefined: it has none. */
export function sealOf(bytes: Uint8Array): number | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const seal = sealPattern.exec(text.toString('latin1', Math.max(0, text.length - sealLength)))?.[1]
  return seal === undefined ? undefined : Number.parseInt(seal, 16)
}
