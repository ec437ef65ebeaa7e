/** Frontend messages as bytes, and the few backend messages that are read as a whole. */
import { SluiceError } from '../../../base/errors.ts'
import type { ServerError } from '../server-error.ts'

/** Type bytes of backend messages (PostgreSQL documentation, "Message Formats"). */
export const backend = {
  parseComplete: 0x31, // 1
  bindComplete: 0x32, // 2
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notification: 0x41, // A
  parameterStatus: 0x53, // S
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const

const protocolVersion = 196608
const cancelRequestCode = 80877102

function withLength(type: string, content: Buffer): Buffer {
  const message = Buffer.allocUnsafe(content.length + 4 + type.length)
  message.write(type, 0, 'latin1')
  message.writeInt32BE(content.length + 4, type.length)
  content.copy(message, type.length + 4)
  return message
}

function zeroTerminated(text: string): Buffer {
  if (text.includes('\0')) throw new RangeError('A NUL character cannot be sent to PostgreSQL')
  return Buffer.from(`${text}\0`, 'utf8')
}

function int16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value)
  return bytes
}

export function encodeStartup(parameters: Readonly<Record<string, string>>): Buffer {
  const version = Buffer.alloc(4)
  version.writeInt32BE(protocolVersion)
  const pairs = Object.entries(parameters).flat().map(zeroTerminated)
  return withLength('', Buffer.concat([version, ...pairs, Buffer.alloc(1)]))
}

export function encodeCancel(processId: number, secretKey: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeInt32BE(cancelRequestCode, 0)
  head.writeInt32BE(processId, 4)
  return withLength('', Buffer.concat([head, secretKey]))
}

export function encodeQuery(sql: string): Buffer {
  return withLength('Q', zeroTerminated(sql))
}

/**
 * Parse, Bind, Describe, Execute and Sync for one statement without a name: parameters are texts
 * whose types the server infers, results are texts (PostgreSQL documentation, "Extended Query").
 */
export function encodeExtendedQuery(sql: string, parameters: readonly string[]): Buffer {
  const noName = Buffer.alloc(1)
  const values = parameters.flatMap((text) => {
    const bytes = Buffer.from(text, 'utf8')
    return [int32(bytes.length), bytes]
  })
  return Buffer.concat([
    withLength('P', Buffer.concat([noName, zeroTerminated(sql), int16(0)])),
    withLength(
      'B',
      Buffer.concat([noName, noName, int16(0), int16(parameters.length), ...values, int16(0)]),
    ),
    withLength('D', Buffer.from('P\0', 'latin1')),
    withLength('E', Buffer.concat([noName, int32(0)])),
    withLength('S', Buffer.alloc(0)),
  ])
}

export function encodePassword(password: string): Buffer {
  return withLength('p', zeroTerminated(password))
}

export function encodeSaslInitial(mechanism: string, response: string): Buffer {
  const body = Buffer.from(response, 'utf8')
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length)
  return withLength('p', Buffer.concat([zeroTerminated(mechanism), length, body]))
}

export function encodeSaslResponse(response: string): Buffer {
  return withLength('p', Buffer.from(response, 'utf8'))
}

export function encodeCopyData(content: Buffer): Buffer {
  return withLength('d', content)
}

export const copyDoneMessage = withLength('c', Buffer.alloc(0))
export const terminateMessage = withLength('X', Buffer.alloc(0))

function unexpected(what: string): SluiceError {
  return new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', what)
}

/** The zero-terminated text at `start`; its end is the returned offset less one. */
export function readText(bytes: Buffer, start: number, end: number): string {
  const zero = bytes.indexOf(0, start)
  if (zero < 0 || zero >= end) throw unexpected('A text in a message is not terminated')
  return bytes.toString('utf8', start, zero)
}

/** ErrorResponse or NoticeResponse. Details, hints and context are not kept. */
export function decodeServerError(bytes: Buffer, start: number, end: number): ServerError {
  let sqlState = 'XX000'
  let message = ''
  for (let at = start; at < end && bytes[at] !== 0;) {
    const field = bytes[at]
    const text = readText(bytes, at + 1, end)
    at += 2 + Buffer.byteLength(text)
    if (field === 0x43) sqlState = text
    if (field === 0x4d) message = text
  }
  return { sqlState, message }
}

/** Names of the columns of a RowDescription. */
export function decodeColumnNames(bytes: Buffer, start: number, end: number): string[] {
  if (end - start < 2) throw unexpected('A row description is too short')
  const names: string[] = []
  let at = start + 2
  for (let left = bytes.readInt16BE(start); left > 0; left--) {
    names.push(readText(bytes, at, end))
    // Oid, attribute number, type, size, modifier and format follow.
    at = bytes.indexOf(0, at) + 1 + 18
  }
  if (at !== end) throw unexpected('A row description does not end where it should')
  return names
}

/** Texts of a DataRow; null for NULL. */
export function decodeDataRow(bytes: Buffer, start: number, end: number): (string | null)[] {
  if (end - start < 2) throw unexpected('A data row is too short')
  const row: (string | null)[] = []
  const count = bytes.readInt16BE(start)
  let at = start + 2
  for (let i = 0; i < count; i++) {
    if (at + 4 > end) throw unexpected('A data row is too short')
    const length = bytes.readInt32BE(at)
    at += 4
    if (length === -1) {
      row.push(null)
      continue
    }
    if (length < 0 || at + length > end) throw unexpected('A cell of a data row is too long')
    row.push(bytes.toString('utf8', at, at + length))
    at += length
  }
  if (at !== end) throw unexpected('A data row has bytes after its last cell')
  return row
}
