import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeCell, decodeCells, mapOid } from '../../../test/support/decode-cells.ts'
import { typeOid } from './types.ts'

const int2 = mapOid(typeOid.int2)
const int4 = mapOid(typeOid.int4)
const int8 = mapOid(typeOid.int8)

const extremes = [
  [int2, '-32768', '32767'],
  [int4, '-2147483648', '2147483647'],
  [int8, '-9223372036854775808', '9223372036854775807'],
] as const

test('integers read at both ends of their range', () => {
  for (const [mapped, smallest, largest] of extremes) {
    const texts = [smallest, largest, '0', '-1', '1', '9', '10', '-10']
    expect(decodeCells(mapped, texts)).toEqual(texts.map(BigInt))
  }
})

test('integers out of their range are malformed, never wrapped', () => {
  for (const [mapped, smallest, largest] of extremes) {
    const beyond = [
      `${BigInt(smallest) - 1n}`,
      `${BigInt(largest) + 1n}`,
      `1${largest}`,
      `-9${largest}`,
    ]
    for (const text of beyond) {
      expect(() => decodeCell(mapped, text), text).toThrow(
        expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
      )
    }
  }
})

test('text that is no integer is malformed', () => {
  const texts = [
    '',
    '-',
    '+1',
    '1.0',
    '1e3',
    ' 1',
    '1 ',
    '0x10',
    'NaN',
    '１',
    '--1',
    '1-',
    '/',
    ':',
  ]
  const long = texts.map((text) => `${text}123456789123456`)
  for (const mapped of [int2, int4, int8]) {
    for (const text of [...texts, ...(mapped === int8 ? long.slice(2) : [])]) {
      expect(() => decodeCell(mapped, text), text).toThrow(
        expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
      )
    }
  }
})

test('every int8 reads as BigInt reads it', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
          fc
            .tuple(fc.nat(63), fc.integer({ min: -2, max: 2 }), fc.boolean())
            .map(([power, offset, negative]) =>
              BigInt.asIntN(64, (2n ** BigInt(power) + BigInt(offset)) * (negative ? -1n : 1n)),
            ),
          fc
            .tuple(fc.nat(18), fc.integer({ min: -2, max: 2 }))
            .map(([power, offset]) => 10n ** BigInt(power) + BigInt(offset)),
        ),
        { maxLength: 50 },
      ),
      (values) => {
        expect(decodeCells(int8, values.map(String))).toEqual(values)
      },
    ),
    { numRuns: 300 },
  )
})

test('every int4 reads as Number reads it', () => {
  fc.assert(
    fc.property(fc.integer(), (value) => {
      expect(decodeCell(int4, `${value}`)).toBe(BigInt(value))
    }),
  )
})
