import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createColumnBuilder } from '../../columnar/column-builder.ts'
import { columnValues } from '../../../test/support/column-values.ts'
import { decodeCell, decodeCells, mapOid, viewOf } from '../../../test/support/decode-cells.ts'
import { appendCell } from './cell-decoder.ts'
import { typeOid } from './types.ts'

const bytea = mapOid(typeOid.bytea)

test('bytea of every content and length reads from either case of hex digits', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (values) => {
      const hex = values.map((value) => Buffer.from(value).toString('hex'))
      expect(
        decodeCells(
          bytea,
          hex.map((text) => `\\x${text}`),
        ),
      ).toEqual(hex)
      expect(
        decodeCells(
          bytea,
          hex.map((text) => `\\x${text.toUpperCase()}`),
        ),
      ).toEqual(hex)
    }),
  )
})

test('bytea not in hex form is malformed and leaves no cell', () => {
  const builder = createColumnBuilder('c', bytea.type)
  for (const text of ['', '\\', '\\x0', '\\x0g', '\\xg0', 'x00', '\\000', '\\x 0', '\\x00 ']) {
    const bytes = Buffer.from(text)
    expect(() => appendCell(bytea.decoder, builder, viewOf(bytes), 0, bytes.length), text).toThrow(
      expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
    )
  }
  expect(columnValues(builder.finish())).toEqual([])
})

test('boolean is t or f, nothing else', () => {
  const bool = mapOid(typeOid.bool)
  expect(decodeCells(bool, ['t', 'f'])).toEqual([true, false])
  for (const text of ['', 'true', 'T', '1', 'tt']) {
    expect(() => decodeCell(bool, text), text).toThrow(
      expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
    )
  }
})

test('text is copied byte for byte', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary', maxLength: 80 }), { maxLength: 8 }),
      (texts) => {
        expect(decodeCells(mapOid(typeOid.text), texts)).toEqual(texts)
      },
    ),
  )
})
