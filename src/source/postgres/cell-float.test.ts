import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeCell, decodeCells, mapOid } from '../../../test/support/decode-cells.ts'
import { typeOid } from './types.ts'

const float4 = mapOid(typeOid.float4)
const float8 = mapOid(typeOid.float8)

/** Any bit pattern that is not NaN. */
const doubles = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((bits) => {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, bits)
  return view.getFloat64(0)
})
const floats = fc.nat(0xffffffff).map((bits) => {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, bits)
  return view.getFloat32(0)
})

/** PostgreSQL's spelling of JavaScript's shortest text. */
function shortest(value: number): string {
  if (Object.is(value, -0)) return '-0'
  return `${value}`.replace(/e([+-])(\d)$/, 'e$10$2')
}

/** `digits` with so many of them after the point. */
function withPoint(digits: bigint, fraction: number): string {
  if (fraction === 0) return `${digits}`
  const text = `${digits}`.padStart(fraction + 1, '0')
  return `${text.slice(0, -fraction)}.${text.slice(-fraction)}`
}

test('float8: shortest text, plain decimals and fixed digits read as Number reads them', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        doubles.filter((value) => !Number.isNaN(value)).map(shortest),
        fc.double({ noNaN: true }).map(shortest),
        fc
          .tuple(fc.maxSafeInteger(), fc.integer({ min: -320, max: 320 }))
          .map(([m, e]) => `${m}e${e}`),
        fc.tuple(fc.integer(), fc.nat(999_999_999)).map(([whole, part]) => `${whole}.${part}`),
        fc
          .tuple(fc.maxSafeNat(), fc.stringMatching(/^[0-9]{1,30}$/))
          .map(([whole, part]) => `${whole}.${part}`),
        fc.stringMatching(/^-?0\.0{0,25}[0-9]{1,20}$/),
        fc
          .tuple(fc.bigInt({ min: 10n ** 14n, max: 10n ** 17n - 1n }), fc.nat(23))
          .map(([digits, fraction]) => withPoint(digits, fraction)),
        // Halfway between two doubles, and one digit to either side.
        fc
          .tuple(
            fc.bigInt({ min: 2n ** 53n, max: 2n ** 54n }),
            fc.constantFrom('', '.0', '.1', '.00000001'),
          )
          .map(([value, rest]) => `${value | 1n}${rest}`),
      ),
      (text) => {
        expect(decodeCell(float8, text), text).toBe(Number(text))
      },
    ),
    { numRuns: 3000 },
  )
})

test('float8: words, zeros and ends of the range', () => {
  const texts = [
    'NaN',
    'Infinity',
    '-Infinity',
    '0',
    '-0',
    '5e-324',
    '1.7976931348623157e+308',
    '1e+20',
  ]
  expect(decodeCells(float8, texts)).toEqual(texts.map(Number))
})

test('float4: nine digits of any float read back as that float', () => {
  fc.assert(
    fc.property(
      floats.filter((value) => Number.isFinite(value)),
      (value) => {
        expect(decodeCell(float4, value.toPrecision(9))).toBe(value)
      },
    ),
    { numRuns: 2000 },
  )
})

test('float4: text beside the middle of two floats is not rounded twice', () => {
  // 1 + 2⁻²⁴ is the middle of 1 and 1 + 2⁻²³; as doubles these texts are all the middle itself.
  const middle = '1.000000059604644775390625'
  expect(decodeCell(float4, middle)).toBe(1)
  expect(decodeCell(float4, `${middle}0000000000000000001`)).toBe(1 + 2 ** -23)
  expect(decodeCell(float4, '1.0000000596046447753906249999999')).toBe(1)
  expect(decodeCell(float4, `-${middle}0000000000000000001`)).toBe(-1 - 2 ** -23)
  // 1 + 3 · 2⁻²⁴ lies in the middle too, and its even neighbour is above.
  const upper = '1.000000178813934326171875'
  expect(decodeCell(float4, upper)).toBe(1 + 2 ** -22)
  expect(decodeCell(float4, '1.0000001788139343261718749999999')).toBe(1 + 2 ** -23)
  // Half of the smallest float, and a little more.
  expect(decodeCell(float4, '7.006492321624085354618e-46')).toBe(0)
  expect(decodeCell(float4, '7.0064923216240853547e-46')).toBe(2 ** -149)
})

test('float4: words, zeros and ends of the range', () => {
  const texts = [
    'NaN',
    'Infinity',
    '-Infinity',
    '0',
    '-0',
    '1e-45',
    '3.4028235e+38',
    '1.17549435e-38',
  ]
  expect(decodeCells(float4, texts)).toEqual(texts.map((text) => Math.fround(Number(text))))
})

test('text that is no number is malformed', () => {
  for (const text of [
    '',
    '-',
    '.',
    '1.2.3',
    'nan ',
    '0x10',
    '1e',
    ' 1',
    '1 ',
    '--1',
    'Infinit',
    '1_0',
    '+1',
    '1.',
    '.5',
  ]) {
    for (const mapped of [float4, float8]) {
      expect(() => decodeCell(mapped, text), text).toThrow(
        expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
      )
    }
  }
})
