/** JSON that keeps 64-bit integers: a bigint stands as `{"$bigint": "…"}`. */

const bigintKey = '$bigint'

export function encodeJson(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'bigint' ? { [bigintKey]: one.toString() } : one,
  )
}

export function decodeJson(text: string): unknown {
  return JSON.parse(text, (_key, one: unknown) => {
    if (typeof one !== 'object' || one === null || !(bigintKey in one)) return one
    return BigInt(String(one[bigintKey]))
  })
}
