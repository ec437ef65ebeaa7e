import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createColumnBuilder, Decimal128Builder } from '../../columnar/column-builder.ts'
import { columnValues } from '../../../test/support/column-values.ts'
import { viewOf } from '../../../test/support/decode-cells.ts'
import { appendMoney, type MoneyFormat, parseMoneyFormat } from './cell-money.ts'

function formatOf(positive: string, negative: string, scale: number): MoneyFormat {
  const format = parseMoneyFormat(positive, negative, scale)
  if (format === undefined) throw new Error('no format')
  return format
}

function read(format: MoneyFormat, text: string): unknown {
  const type = { kind: 'decimal', precision: 19, scale: format.scale } as const
  const builder = createColumnBuilder('c', type)
  if (!(builder instanceof Decimal128Builder)) throw new Error('another builder')
  const bytes = Buffer.from(`9${text}9`)
  appendMoney(builder, viewOf(bytes), 1, bytes.length - 1, format)
  return columnValues(builder.finish())[0]
}

/** As servers print 12345678901 and its negative. */
const locales = {
  C: ['$12,345,678,901.00', '-$12,345,678,901.00', 2],
  ja_JP: ['￥12,345,678,901', '-￥12,345,678,901', 0],
  fr_FR: ['12\u202f345\u202f678\u202f901,00 €', '-12\u202f345\u202f678\u202f901,00 €', 2],
  en_HK: ['HK$12,345,678,901.00', '(HK$12,345,678,901.00)', 2],
  ar_TN: ['د.ت. 12,345,678,901.000', 'د.ت.- 12,345,678,901.000', 3],
  pl_PL: ['12 345 678 901,00 zł', '-12 345 678 901,00 zł', 2],
  nl_NL: ['€ 12.345.678.901,00', '€ -12.345.678.901,00', 2],
} as const

describe.each(Object.entries(locales))('%s', (_, [positive, negative, scale]) => {
  const format = formatOf(positive, negative, scale)

  test('both amounts of the probe read as they are', () => {
    const units = 12345678901n * 10n ** BigInt(scale)
    expect([read(format, positive), read(format, negative)]).toEqual([units, -units])
  })

  test('a text of every other of these locales is refused', () => {
    for (const [other] of Object.values(locales)) {
      if (other === positive) continue
      expect(() => read(format, other)).toThrow(
        expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
      )
    }
  })
})

test('every amount of 64 bits reads as it is spelled', () => {
  const format = formatOf(...locales.C)
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (amount) => {
      const size = String(amount < 0n ? -amount : amount).padStart(3, '0')
      const whole = BigInt(size.slice(0, -2)).toLocaleString('en-US')
      const text = `${amount < 0n ? '-' : ''}$${whole}.${size.slice(-2)}`
      expect(read(format, text)).toBe(amount)
    }),
  )
})

test.each([
  '',
  '$',
  '$1',
  '$1.5',
  '$1000.00',
  '$1,00.00',
  '1.00',
  '$01.00',
  '-$0.00',
  '$1.00 ',
  '$1.00x2',
])('trap: money of another scale: %j is refused', (text) => {
  expect(() => read(formatOf(...locales.C), text)).toThrow(
    expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
  )
})

test('parseMoneyFormat() knows when texts do not tell', () => {
  for (const [positive, negative] of [
    ['$12,345,678,901.00', '$12,345,678,901.00'],
    ['12345678901.00', '-12345678901.00'],
    ['$12,345,678,901.00', '-$12.345.678.901,00'],
    ['', ''],
    ['$12,34,56,78,901.00', '-$12,34,56,78,901.00'],
  ] as const) {
    expect(parseMoneyFormat(positive, negative, 2)).toBe(undefined)
  }
})
