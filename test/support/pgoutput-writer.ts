/** Writes pgoutput messages of protocol version 1, for tests of what reads them. */

/** A cell's text, NULL, unchanged TOAST, or a cell in binary form. */
export type TupleCell = string | null | { readonly kind: 'unchanged' } | { readonly binary: Buffer }

export const unchanged: TupleCell = { kind: 'unchanged' }

export interface WrittenColumn {
  readonly name: string
  readonly typeOid: number
  readonly typmod?: number
  readonly isKey?: boolean
}

const uint8 = (value: number): Buffer => Buffer.from([value])
const uint16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value | 0)
  return bytes
}
const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'utf8')
const type = (letter: string): Buffer => Buffer.from(letter, 'latin1')

/** 2000-01-01 in microseconds since 1970. */
const epochUs = 946684800000000n

export function begin(finalLsn: bigint, commitTimeUs: bigint, xid: number): Buffer {
  return Buffer.concat([type('B'), int64(finalLsn), int64(commitTimeUs - epochUs), int32(xid)])
}

export function commit(commitLsn: bigint, endLsn: bigint, commitTimeUs: bigint): Buffer {
  const lsns = [int64(commitLsn), int64(endLsn), int64(commitTimeUs - epochUs)]
  return Buffer.concat([type('C'), uint8(0), ...lsns])
}

export function relation(
  oid: number,
  table: string,
  columns: readonly WrittenColumn[],
  identity = 'd',
): Buffer {
  const described = columns.flatMap((column) => [
    uint8(column.isKey === true ? 1 : 0),
    text(column.name),
    int32(column.typeOid),
    int32(column.typmod ?? -1),
  ])
  const head = [int32(oid), text('public'), text(table), type(identity), uint16(columns.length)]
  return Buffer.concat([type('R'), ...head, ...described])
}

export function tuple(cells: readonly TupleCell[]): Buffer {
  const parts = cells.map((cell) => {
    if (cell === null) return type('n')
    if (typeof cell === 'object' && 'kind' in cell) return type('u')
    const bytes = typeof cell === 'string' ? Buffer.from(cell, 'utf8') : cell.binary
    return Buffer.concat([type(typeof cell === 'string' ? 't' : 'b'), int32(bytes.length), bytes])
  })
  return Buffer.concat([uint16(cells.length), ...parts])
}

export function insert(oid: number, cells: readonly TupleCell[]): Buffer {
  return Buffer.concat([type('I'), int32(oid), type('N'), tuple(cells)])
}

export interface OldImage {
  /** K: key cells only; O: the whole row. */
  readonly kind: 'K' | 'O'
  readonly cells: readonly TupleCell[]
}

export function update(oid: number, cells: readonly TupleCell[], old?: OldImage): Buffer {
  const before = old === undefined ? [] : [type(old.kind), tuple(old.cells)]
  return Buffer.concat([type('U'), int32(oid), ...before, type('N'), tuple(cells)])
}

export function remove(oid: number, old: OldImage): Buffer {
  return Buffer.concat([type('D'), int32(oid), type(old.kind), tuple(old.cells)])
}

export function truncate(oids: readonly number[]): Buffer {
  return Buffer.concat([type('T'), int32(oids.length), uint8(0), ...oids.map(int32)])
}

export function origin(name: string): Buffer {
  return Buffer.concat([type('O'), int64(1n), text(name)])
}

export function typeName(oid: number, name: string): Buffer {
  return Buffer.concat([type('Y'), int32(oid), text('public'), text(name)])
}

export function logicalMessage(prefix: string, content: Buffer): Buffer {
  const head = [uint8(1), int64(1n), text(prefix), int32(content.length)]
  return Buffer.concat([type('M'), ...head, content])
}
