import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CellValue, columnValues, rowTarget } from '../../../test/support/column-values.ts'
import { mapNumeric, mapOid } from '../../../test/support/decode-cells.ts'
import { createColumnBuilder } from '../../columnar/column-builder.ts'
import { createCopyTextDecoder, unescapeCopyText } from './copy-text.ts'
import { type MappedType, typeOid } from './types.ts'

const text = mapOid(typeOid.text)
const bytea = mapOid(typeOid.bytea)
const int4 = mapOid(typeOid.int4)

/** Cells by row, of COPY rows given with their newlines. */
function decodeRows(
  types: readonly MappedType[],
  rows: readonly (string | Buffer)[],
): CellValue[][] {
  const columns = types.map(({ type }, index) => createColumnBuilder(`c${index}`, type))
  const target = rowTarget(columns)
  const decoder = createCopyTextDecoder(
    types.map(({ decoder: cells }) => cells),
    target,
  )
  // All rows in one buffer, as they come from a socket.
  const parts = rows.map((row) => Buffer.from(row))
  const buffer = Buffer.concat([Buffer.from('\t\\'), ...parts, Buffer.from('\\N\t')])
  let at = 2
  for (const part of parts) {
    decoder.row(buffer, at, at + part.length)
    at += part.length
  }
  expect(target.ops).toEqual(rows.map(() => 'r'))
  const values = columns.map((column) => columnValues(column.finish()))
  return rows.map((_, row) => values.map((column) => column[row] ?? null))
}

/** Escapes as the server does (CopyAttributeOutText). */
function escapeLikeServer(value: string | null): string {
  if (value === null) return '\\N'
  const letters: Record<string, string> = {
    '\b': 'b',
    '\f': 'f',
    '\n': 'n',
    '\r': 'r',
    '\t': 't',
    '\v': 'v',
  }
  return value.replace(/[\b\f\n\r\t\v\\]/g, (character) => `\\${letters[character] ?? character}`)
}

const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({
    unit: fc.constantFrom('\\', '\t', '\n', '\r', '\b', '\f', '\v', 'N', 'x', '.', '1', 'é', '😀'),
  }),
  fc.constantFrom('\\N', '\\.', '\\x41', '\\101', '', 'N', '\\'),
)

test('every text that the server escapes comes back as it was', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.option(nasty), fc.option(nasty), fc.option(nasty)), { maxLength: 8 }),
      (rows) => {
        const lines = rows.map((row) => `${row.map(escapeLikeServer).join('\t')}\n`)
        expect(decodeRows([text, text, text], lines)).toEqual(rows)
      },
    ),
    { numRuns: 500 },
  )
})

test('bytea, NULL and typed cells stand side by side', () => {
  const types = [int4, bytea, mapNumeric(10, 2), text]
  const rows = ['1\t\\\\x00ff\t1.50\ta\\tb\n', '\\N\t\\N\t\\N\t\\N\n', '-5\t\\\\x\t0.00\t\n']
  expect(decodeRows(types, rows)).toEqual([
    [1n, '00ff', 150n, 'a\tb'],
    [null, null, null, null],
    [-5n, '', 0n, ''],
  ])
})

test('octal and hex escapes are understood', () => {
  const source = Buffer.from('\\101\\x42\\x4\\0\\1019\\x431\\q\\xg\\7')
  const target = Buffer.alloc(source.length)
  const length = unescapeCopyText(source, 0, source.length, target)
  expect(target.toString('latin1', 0, length)).toBe('AB\x04\0A9C1qxg\x07')
})

test('a cell longer than any before is unescaped whole', () => {
  const long = `\\${'ab\t'.repeat(5000)}`
  expect(decodeRows([text], [`${escapeLikeServer(long)}\n`])).toEqual([[long]])
})

test('a row of another shape is an error and appends nothing', () => {
  const bad = ['', '\n', '1', '1\ta', '1\n', '1\ta\tb\n', '1\ta\\\n', '\\\t\n']
  for (const row of bad) {
    const columns = [createColumnBuilder('a', int4.type), createColumnBuilder('b', text.type)]
    const target = rowTarget(columns)
    const decoder = createCopyTextDecoder([int4.decoder, text.decoder], target)
    const bytes = Buffer.from(row)
    expect(() => decoder.row(bytes, 0, bytes.length), JSON.stringify(row)).toThrow(
      expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
    )
    expect(target.ops).toEqual([])
    expect(columns.map(({ rowCount }) => rowCount)).toEqual([0, 0])
  }
})

test('an error of a cell names its column and not its content', () => {
  const row = (): unknown => decodeRows([text, int4], ['a\tsecret\n'])
  expect(row).toThrow(expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }))
  expect(row).toThrow(/^Column c1: /)
  expect(row).not.toThrow(/secret/)
})
