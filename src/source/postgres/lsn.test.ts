import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatLsn, type Lsn, parseLsn, readLsn } from './lsn.ts'

test('parseLsn() and formatLsn() are inverse for every 64-bit value', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      expect(parseLsn(formatLsn(value as Lsn))).toBe(value)
    }),
  )
})

test('formatLsn() prints what the server prints', () => {
  expect(formatLsn(0x16_b374_d848n as Lsn)).toBe('16/B374D848')
  expect(formatLsn(0n as Lsn)).toBe('0/0')
})

test.each(['', '0', '/', '0/', '0/0/0', '123456789/0', 'x/1', ' 0/0', '0/0\n'])(
  'parseLsn() refuses %j',
  (text) => {
    expect(() => parseLsn(text)).toThrow(
      expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
    )
  },
)

test('readLsn() reads big endian', () => {
  expect(readLsn(Buffer.from('ff0000000000000001', 'hex'), 1)).toBe(1n)
})
