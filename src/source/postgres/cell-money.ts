/**
 * `money` text to unscaled integers. A money is 64 bits of the smallest unit of the session's
 * lc_monetary, and its text is spelled by that too: sign, symbol, separators and how many digits are
 * fraction. So the server is asked for the spelling of two known amounts, and a text that is not
 * spelled so is refused: it would be an amount of another scale.
 */
import type { Decimal128Builder } from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'

/** How a session spells money; texts hold one character per UTF-8 byte. */
export interface MoneyFormat {
  /** How many digits are fraction. */
  readonly scale: number
  /** What stands before and after the number. */
  readonly positive: readonly [before: string, after: string]
  readonly negative: readonly [before: string, after: string]
  /** Digits between two separators, counted from the right. */
  readonly groupSize: number
  readonly separator: string
  /** Empty when no digit is fraction. */
  readonly point: string
}

/** In whole units; enough digits for every size of group. */
export const moneyProbe = '12345678901'

interface Parts {
  readonly before: string
  readonly number: string
  readonly after: string
}

function partsOf(text: string): Parts | undefined {
  const match = /^([^0-9]*)([0-9](?:.*[0-9])?)([^0-9]*)$/s.exec(text)
  if (match === null) return undefined
  const [, before = '', number = '', after = ''] = match
  return { before, number, after }
}

/** From the texts of `moneyProbe` and its negative; undefined when they do not tell. */
export function parseMoneyFormat(
  positive: string,
  negative: string,
  scale: number,
): MoneyFormat | undefined {
  const [plus, minus] = [positive, negative].map((text) => partsOf(bytesOf(Buffer.from(text))))
  if (plus === undefined || minus?.number !== plus.number) return undefined
  const fraction = '0'.repeat(scale)
  const whole = /^([0-9]+)([^0-9]+)(.*)$/s.exec(plus.number)
  const point = scale === 0 ? '' : plus.number.slice(-scale - 1, -scale)
  const separator = whole?.[2] ?? ''
  const groups = plus.number.slice(0, plus.number.length - scale - point.length).split(separator)
  const groupSize = groups.at(-1)?.length ?? 0
  const format: MoneyFormat = {
    scale,
    positive: [plus.before, plus.after],
    negative: [minus.before, minus.after],
    groupSize,
    separator,
    point,
  }
  // Servers group by at most six digits.
  const isPlain = separator !== '' && groupSize <= 6 && !/[0-9]/.test(point)
  const isSigned = plus.before !== minus.before || plus.after !== minus.after
  const amount = BigInt(moneyProbe + fraction)
  const tells =
    isPlain &&
    isSigned &&
    spelled(format, amount) === bytesOf(Buffer.from(positive)) &&
    spelled(format, -amount) === bytesOf(Buffer.from(negative))
  return tells ? format : undefined
}

function bytesOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

/** The text of an amount in smallest units. */
function spelled(format: MoneyFormat, amount: bigint): string {
  const { scale, groupSize, separator, point } = format
  const digits = String(amount < 0n ? -amount : amount).padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const groups: string[] = []
  for (let end = whole.length; end > 0; end -= groupSize) {
    groups.unshift(whole.slice(Math.max(0, end - groupSize), end))
  }
  const [before, after] = amount < 0n ? format.negative : format.positive
  return `${before}${groups.join(separator)}${point}${digits.slice(digits.length - scale)}${after}`
}

export function appendMoney(
  builder: Decimal128Builder,
  bytes: DataView,
  start: number,
  end: number,
  format: MoneyFormat,
): void {
  const text = bytesOf(new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start))
  const parts = partsOf(text)
  if (parts === undefined) throw malformedCell('money', 0)
  const { before, number, after } = parts
  const size = BigInt(number.replaceAll(/[^0-9]/g, ''))
  const [negativeBefore, negativeAfter] = format.negative
  const amount = before === negativeBefore && after === negativeAfter ? -size : size
  if (spelled(format, amount) !== text) {
    throw malformedCell('money as the lc_monetary of the control connection spells it', 0)
  }
  builder.append(amount)
}
