/** Values as one line of JSON that loses nothing: for logs, events and query results. */

/**
 * Integers beyond 2^53 become text, as most readers of JSON would round them; so do NaN and the
 * infinities. Minus zero keeps its sign: `-0.0`. Bytes become hex as PostgreSQL writes it: `\x00ff`. Keys without a value are left out.
 */
export function toJsonLine(value: unknown): string {
  return JSON.stringify(value, replaceValue)
}

/** `\x00ff` */
export function formatBytesAsHex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`
}

/** Node has it before the types of its language do. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }
const minusZero = rawJSON('-0.0')

function replaceValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value.toString()
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (Object.is(value, -0)) return minusZero
  if (value instanceof Uint8Array) {
    // A Buffer has become { type, data } before it gets here; see below.
    return formatBytesAsHex(value)
  }
  if (isBufferJson(value)) return formatBytesAsHex(Uint8Array.from(value.data))
  return value
}

/** What `Buffer.prototype.toJSON` makes of bytes before a replacer sees them. */
function isBufferJson(value: unknown): value is { readonly data: readonly number[] } {
  return (
    typeof value === 'object' &&
    value !== null &&
    (value as { type?: unknown }).type === 'Buffer' &&
    Array.isArray((value as { data?: unknown }).data)
  )
}
