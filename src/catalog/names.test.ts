import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkedName,
  foldName,
  formatTableName,
  matchesTableName,
  nameProblem,
  parseDottedName,
  parseTableName,
} from './names.ts'

test.each([
  ['', 'is empty'],
  ['a.b', 'contains "."'],
  ['a/b', 'contains "/"'],
  ['a\\b', 'contains "\\"'],
  ['a b', 'contains a blank'],
  ['a\u0000b', 'contains the character U+0000'],
  ['a\nb', 'contains the character U+000A'],
  ['a\u00a0b', 'contains the character U+00A0'],
  ['..', 'contains "."'],
  ['-rf', 'begins with "-"'],
  ['NUL', 'is reserved by an operating system'],
  ['a'.repeat(256), 'is longer than 255 bytes'],
  ['é'.repeat(128), 'is longer than 255 bytes'],
  ['\ud800', 'is not well-formed Unicode'],
])('nameProblem(%j) says why', (name, problem) => {
  expect(nameProblem(name)).toBe(problem)
})

test.each(['orders', 'Orders', '_x', '注文', 'a-b', 'naïve', '2024', '🛒'])(
  'nameProblem() accepts %s',
  (name) => {
    expect(nameProblem(name)).toBeUndefined()
  },
)

test('foldName() makes spellings of one name equal', () => {
  expect(foldName('ORDERS')).toBe('orders')
  expect(foldName('Cafe\u0301')).toBe('café')
})

test('checkedName() throws a coded error that names the value', () => {
  expect(() => checkedName('a/b', 'destination_table')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID_NAME', exitCode: 2 }),
  )
})

test.each([
  ['main.shop.orders', ['main', 'shop', 'orders']],
  ['Main.Shop.Orders', ['main', 'shop', 'orders']],
  [' main . shop ', ['main', 'shop']],
  ['"main"."shop"', ['main', 'shop']],
  ['`main`.shop', ['main', 'shop']],
  ['orders', ['orders']],
])('parseDottedName(%j)', (text, parts) => {
  expect(parseDottedName(text)).toEqual(parts)
})

test.each(['', 'a.', '.a', 'a..b', 'a.b.c.d', '"a', 'a"b"', '"a.b"'])(
  'parseDottedName(%j) is refused',
  (text) => {
    expect(() => parseDottedName(text)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID_NAME' }),
    )
  },
)

test('parseTableName() wants three parts', () => {
  expect(parseTableName('a.b.c')).toEqual({ catalog: 'a', schema: 'b', table: 'c' })
  expect(() => parseTableName('b.c')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID_NAME' }),
  )
})

test('matchesTableName() compares the last parts', () => {
  const name = { catalog: 'main', schema: 'shop', table: 'orders' }
  expect(
    ['orders', 'shop.orders', 'MAIN.shop.orders'].map((t) => matchesTableName(t, name)),
  ).toEqual([true, true, true])
  expect(['order', 'main.orders', 'x.shop.orders'].map((t) => matchesTableName(t, name))).toEqual([
    false,
    false,
    false,
  ])
})

test('every accepted name survives being written and read', () => {
  const part = fc
    .string({ unit: 'binary', minLength: 1 })
    .filter((n) => nameProblem(n) === undefined)
  fc.assert(
    fc.property(part, part, part, (a, b, c) => {
      const name = { catalog: foldName(a), schema: foldName(b), table: foldName(c) }
      const parts = [name.catalog, name.schema, name.table]
      const quoted = parts.map((text) => `"${text.replaceAll('"', '""')}"`).join('.')
      expect(parseTableName(quoted)).toEqual(name)
      expect(formatTableName(name).split('.')).toHaveLength(3)
    }),
  )
})
