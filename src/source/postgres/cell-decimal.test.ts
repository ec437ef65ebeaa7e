import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeCell, decodeCells, mapNumeric } from '../../../test/support/decode-cells.ts'

/** As PostgreSQL prints a numeric of this scale. */
function numericText(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const sign = unscaled < 0n ? '-' : ''
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`
}

const shapes = fc
  .integer({ min: 1, max: 38 })
  .chain((precision) => fc.tuple(fc.constant(precision), fc.integer({ min: 0, max: precision })))

test('the largest, smallest and least values of every precision and scale are exact', () => {
  for (let precision = 1; precision <= 38; precision++) {
    const largest = 10n ** BigInt(precision) - 1n
    const values = [largest, -largest, 0n, 1n, -1n, 10n ** BigInt(precision - 1)]
    for (let scale = 0; scale <= precision; scale++) {
      const texts = values.map((value) => numericText(value, scale))
      expect(decodeCells(mapNumeric(precision, scale), texts), texts.join(' ')).toEqual(values)
    }
  }
})

test('every decimal reads as BigInt reads its digits', () => {
  fc.assert(
    fc.property(
      shapes.chain(([precision, scale]) =>
        fc.tuple(
          fc.constant([precision, scale] as const),
          fc.array(
            fc
              .tuple(
                fc.integer({ min: 1, max: precision }),
                fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }),
              )
              .map(([size, value]) => value % 10n ** BigInt(size)),
            { maxLength: 20 },
          ),
        ),
      ),
      ([[precision, scale], values]) => {
        const texts = values.map((value) => numericText(value, scale))
        expect(decodeCells(mapNumeric(precision, scale), texts)).toEqual(values)
      },
    ),
    { numRuns: 400 },
  )
})

test('NaN and infinities become NULL and are counted', () => {
  for (const precision of [5, 12, 30]) {
    const mapped = mapNumeric(precision, 2)
    expect(mapped.mayBecomeNull).toBe(true)
    expect(decodeCells(mapped, ['NaN', '1.50', 'Infinity', '-Infinity'])).toEqual([
      null,
      150n,
      null,
      null,
    ])
    expect(mapped.decoder.unfitCount).toBe(3)
  }
})

test('text that is no numeric of the column is malformed', () => {
  const texts = [
    '',
    '-',
    '.',
    '1',
    '1.2',
    '1.234',
    '1..23',
    '1.2.34',
    'x.yz',
    '1,23',
    '1e2.00',
    '.12',
    '-.12',
  ]
  for (const precision of [5, 12, 30]) {
    const tooLong = `${'9'.repeat(precision - 1)}.00`
    for (const text of [...texts, tooLong, `${'1'.repeat(30)}x.00`]) {
      expect(() => decodeCell(mapNumeric(precision, 2), text), text).toThrow(
        expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
      )
    }
  }
})
