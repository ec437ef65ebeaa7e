import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatCell, printTable } from './table-print.ts'
import { cut, displayWidth, formatBytes, formatCount, formatSeconds, printable } from './text.ts'

test.each<[unknown, string]>([
  [null, 'NULL'],
  [undefined, 'NULL'],
  ['', ''],
  ['a\tb\nc', 'a\\tb\\nc'],
  ['\u001b[31mred', '\\u001b[31mred'],
  ['\u202eevil', '\\u202eevil'],
  [2n ** 64n, '18446744073709551616'],
  [-0, '-0'],
  [Number.NaN, 'NaN'],
  [1e21, '1e+21'],
  [true, 'true'],
  [new Uint8Array([0, 171, 255]), '\\x00abff'],
  [[1n, null, 'x'], '[1,null,"x"]'],
  [{ a: 2n ** 60n, b: [new Uint8Array([1])] }, '{"a":"1152921504606846976","b":["\\\\x01"]}'],
  [new Date(0), '1970-01-01T00:00:00.000Z'],
])('formatCell() gives one exact line (%#)', (value, text) => {
  expect(formatCell(value)).toBe(text)
})

test('numbers stand to the right, text to the left, wide characters count twice', () => {
  const lines = printTable(
    {
      columns: [{ name: 'n' }, { name: 'name' }, { name: 'd', type: 'DECIMAL(12,2)' }],
      rows: [
        [1, '注文', '10.50'],
        [200n, 'é', '-3.00'],
        [null, 'e\u0301x', null],
      ],
    },
    { columns: 80 },
  )
  expect(lines).toEqual([
    '   n  name      d',
    '----  ----  -----',
    '   1  注文  10.50',
    ' 200  é     -3.00',
    'NULL  e\u0301x     NULL',
    '(3 rows)',
  ])
})

test('a result without rows still shows its columns', () => {
  expect(printTable({ columns: [{ name: 'a' }], rows: [] }, { columns: 80 })).toEqual([
    'a',
    '-',
    '(0 rows)',
  ])
  expect(printTable({ columns: [], rows: [] }, { columns: 80 })).toEqual(['(0 rows)'])
})

test('wide cells are cut, and the table fits the terminal while columns keep a few characters', () => {
  const columns = [{ name: 'id' }, { name: 'body' }, { name: 'title' }]
  const rows = [[1, 'x'.repeat(500), 'y'.repeat(500)]]
  for (const width of [40, 80, 120]) {
    const lines = printTable({ columns, rows }, { columns: width })
    expect(Math.max(...lines.map(displayWidth))).toBeLessThanOrEqual(width)
    expect(lines[2]).toContain('…')
  }
  expect(printTable({ columns, rows }, { columns: undefined })[2]?.length).toBeLessThan(140)
})

test('every line of a table fits, whatever the cells hold', () => {
  const cell = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.constant(null),
    fc.bigInt(),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }), (rows) => {
      const columns = [{ name: 'a' }, { name: 'b\n' }, { name: 'c' }]
      for (const line of printTable({ columns, rows }, { columns: 40 })) {
        expect(displayWidth(line)).toBeLessThanOrEqual(40)
        expect(line).toBe(printable(line))
      }
    }),
  )
})

test('hundreds of thousands of rows print', () => {
  const rows = Array.from({ length: 200_000 }, (_, index) => [index])
  expect(printTable({ columns: [{ name: 'n' }], rows }, { columns: 80 })).toHaveLength(200_003)
})

test('words for numbers, bytes and time', () => {
  expect([0, 999, 1000, 1234567, 2n ** 53n].map(formatCount)).toEqual([
    '0',
    '999',
    '1,000',
    '1,234,567',
    '9,007,199,254,740,992',
  ])
  expect([0, 1023, 1536, 3n * 1024n ** 3n, 999 * 1024 ** 2].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '3.0 GiB',
    '999 MiB',
  ])
  expect([0, 0.84, 42, 185, 7800, 360_000, Infinity].map(formatSeconds)).toEqual([
    '0.0 s',
    '0.8 s',
    '42 s',
    '3 min 5 s',
    '2 h 10 min',
    '4 d 4 h',
    'unknown',
  ])
  expect([cut('abcdef', 4), cut('注文注文', 4), cut('ab', 4), cut('abc', 0)]).toEqual([
    'abc…',
    '注…',
    'ab',
    '',
  ])
})
