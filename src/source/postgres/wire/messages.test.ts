import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SluiceError } from '../../../base/errors.ts'
import { fromServerError, sqlStateOf } from '../server-error.ts'
import { decodeDataRow, decodeServerError, encodeQuery, encodeStartup } from './messages.ts'

function dataRow(cells: readonly (string | null)[]): Buffer {
  const parts: Buffer[] = [Buffer.from([cells.length >> 8, cells.length & 255])]
  for (const cell of cells) {
    const bytes = cell === null ? undefined : Buffer.from(cell)
    const length = Buffer.alloc(4)
    length.writeInt32BE(bytes?.length ?? -1)
    parts.push(length, ...(bytes === undefined ? [] : [bytes]))
  }
  return Buffer.concat(parts)
}

test('decodeDataRow() reads what was sent, and refuses it cut short or too long', () => {
  const cell = fc.option(fc.string({ unit: 'grapheme' }))
  fc.assert(
    fc.property(fc.array(cell, { maxLength: 5 }), fc.nat(), (cells, cut) => {
      const message = dataRow(cells)
      expect(decodeDataRow(message, 0, message.length)).toEqual(cells)
      const code = expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }) as Error
      expect(() => decodeDataRow(message, 0, cut % message.length)).toThrow(code)
      const longer = Buffer.concat([message, Buffer.alloc(1)])
      expect(() => decodeDataRow(longer, 0, longer.length)).toThrow(code)
    }),
  )
})

test('random bytes give a row or an error, or a coded refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (random) => {
      const bytes = Buffer.from(random)
      for (const decode of [decodeDataRow, decodeServerError]) {
        try {
          decode(bytes, 0, bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(SluiceError)
        }
      }
    }),
  )
})

test('decodeServerError() keeps SQLSTATE and message, and no detail that may hold a row', () => {
  const text = 'SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (a)=(secret) already exists.\0\0'
  const bytes = Buffer.from(text)
  const error = decodeServerError(bytes, 0, bytes.length)
  expect(error).toEqual({ sqlState: '23505', message: 'duplicate key' })
  expect(sqlStateOf(fromServerError(error, 'testing'))).toBe('23505')
})

test('fromServerError() does not repeat what a data exception quotes', () => {
  const error = { sqlState: '22P02', message: 'invalid input syntax for type integer: "secret"' }
  const coded = fromServerError(error, 'copying')
  expect(`${coded.message} ${JSON.stringify(coded.cause)}`).not.toContain('secret')
  expect(coded.code).toBe('SOURCE_QUERY_FAILED')
})

test('frontend messages have the length that the protocol asks for and no NUL inside', () => {
  expect(encodeQuery('é')).toEqual(Buffer.from('51000000 07 c3a9 00'.replaceAll(' ', ''), 'hex'))
  const startup = encodeStartup({ user: 'u' })
  expect(startup.readInt32BE(0)).toBe(startup.length)
  expect(startup.subarray(8).toString()).toBe('user\0u\0\0')
  expect(() => encodeQuery('select 1\0; drop')).toThrow(RangeError)
})
