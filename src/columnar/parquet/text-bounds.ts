/** Short bounds for long strings: what statistics keep instead of whole values. */

/** Code points of a string that statistics keep. */
const boundCodePoints = 32

const largestCodePoint = 0x10ffff
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export interface TextBound {
  readonly text: string
  /** False when the text is a bound only, not a value of the column. */
  readonly isExact: boolean
}

/** The value as text; undefined when it is not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** A text of at most 32 code points that is not after `value` in UTF-8 byte order. */
export function lowerBound(value: string): TextBound {
  const points = firstCodePoints(value)
  if (points === undefined) return { text: value, isExact: true }
  return { text: String.fromCodePoint(...points), isExact: false }
}

/**
 * A text of at most 32 code points that is not before `value` in UTF-8 byte order, which is the
 * order of code points; undefined when there is none.
 */
export function upperBound(value: string): TextBound | undefined {
  const points = firstCodePoints(value)
  if (points === undefined) return { text: value, isExact: true }
  while (points.length > 0) {
    const last = points.pop() as number
    if (last < largestCodePoint) {
      return { text: String.fromCodePoint(...points, nextCodePoint(last)), isExact: false }
    }
  }
  return undefined
}

/** The first 32 code points when there are more; undefined when `value` needs no cut. */
function firstCodePoints(value: string): number[] | undefined {
  if (value.length <= boundCodePoints) return undefined
  const points: number[] = []
  for (const character of value) {
    if (points.length === boundCodePoints) return points
    points.push(character.codePointAt(0) as number)
  }
  return undefined
}

/** Surrogates are no characters of UTF-8: after U+D7FF comes U+E000. */
function nextCodePoint(point: number): number {
  return point === 0xd7ff ? 0xe000 : point + 1
}
