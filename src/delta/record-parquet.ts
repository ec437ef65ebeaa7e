/**
 * Nested records as one Parquet file: data pages V1, PLAIN values, zstd.
 * Spec: apache/parquet-format, parquet.thrift and Encodings.md; each struct is named where written.
 */
import { compressZstd } from '../columnar/parquet/compress.ts'
import {
  codecZstd,
  encoding,
  logicalType,
  magic,
  pageType,
  physicalType,
  repetition,
} from '../columnar/parquet/format.ts'
import { bitWidthOf, encodeRleHybrid, rleHybridBound } from '../columnar/parquet/rle-hybrid.ts'
import { listOf, ThriftWriter } from '../columnar/parquet/thrift-writer.ts'
import { createRecordColumns, type LeafColumn, type RecordFields } from './record-columns.ts'

/** Bounds the memory of a row group: records are small, and a column of a group is one page. */
const recordsPerGroup = 10_000
const zstdLevel = 3
/** enum ConvertedType and union LogicalType, where the shared tables have no need of them. */
const converted = { utf8: 0, map: 1, list: 3 } as const
const logicalMap = 2

const physicalOf = {
  boolean: physicalType.boolean,
  int32: physicalType.int32,
  int64: physicalType.int64,
  string: physicalType.byteArray,
} as const

interface Chunk {
  readonly leaf: Pick<LeafColumn, 'path' | 'kind'>
  readonly offset: number
  readonly valueCount: number
  readonly uncompressedBytes: number
  readonly compressedBytes: number
}

interface Group {
  readonly rowCount: number
  readonly chunks: readonly Chunk[]
}

/** Members of a record that `fields` does not name are left out. 64-bit integers are safe numbers. */
export async function encodeRecords(
  fields: RecordFields,
  records: readonly Readonly<Record<string, unknown>>[],
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [magic]
  const groups: Group[] = []
  let offset = magic.byteLength
  for (let from = 0; from < records.length; from += recordsPerGroup) {
    const columns = createRecordColumns(fields)
    const rows = records.slice(from, from + recordsPerGroup)
    for (const record of rows) columns.append(record)
    const chunks: Chunk[] = []
    for (const leaf of columns.leaves) {
      const { header, body, uncompressedBytes } = await encodePage(leaf)
      const compressedBytes = header.byteLength + body.byteLength
      chunks.push({
        leaf: { path: leaf.path, kind: leaf.kind },
        offset,
        valueCount: leaf.definitions.length,
        uncompressedBytes: header.byteLength + uncompressedBytes,
        compressedBytes,
      })
      parts.push(header, body)
      offset += compressedBytes
    }
    groups.push({ rowCount: rows.length, chunks })
  }
  const footer = encodeFooter(fields, groups)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(footer.byteLength)
  return Buffer.concat([...parts, footer, length, magic])
}

/** A column of a row group as one page, with its "struct PageHeader". */
async function encodePage(leaf: LeafColumn): Promise<{
  readonly header: Uint8Array
  readonly body: Uint8Array
  readonly uncompressedBytes: number
}> {
  const plain = Buffer.concat([
    encodeLevels(leaf.repetitions, leaf.maxRepetition),
    encodeLevels(leaf.definitions, leaf.maxDefinition),
    encodeValues(leaf),
  ])
  const body = Buffer.concat(await compressZstd(plain, zstdLevel))
  const thrift = new ThriftWriter()
  thrift.i32(1, pageType.dataPage)
  thrift.i32(2, plain.byteLength)
  thrift.i32(3, body.byteLength)
  thrift.struct(5)
  thrift.i32(1, leaf.definitions.length)
  thrift.i32(2, encoding.plain)
  thrift.i32(3, encoding.rle)
  thrift.i32(4, encoding.rle)
  thrift.end()
  thrift.end()
  return { header: thrift.finish(), body, uncompressedBytes: plain.byteLength }
}

/** RLE hybrid behind its length in 4 bytes; nothing at all when the level is always 0. */
function encodeLevels(levels: readonly number[], max: number): Uint8Array {
  if (max === 0) return new Uint8Array(0)
  const bitWidth = bitWidthOf(max)
  const out = new Uint8Array(4 + rleHybridBound(levels.length, bitWidth))
  const end = encodeRleHybrid(Uint8Array.from(levels), 0, levels.length, { bitWidth, out, at: 4 })
  new DataView(out.buffer).setUint32(0, end - 4, true)
  return out.subarray(0, end)
}

/** "Plain: (PLAIN = 0)" */
function encodeValues(leaf: LeafColumn): Uint8Array {
  const { values } = leaf
  if (leaf.kind === 'string') {
    return Buffer.concat(
      values.flatMap((value) => {
        const text = Buffer.from(String(value), 'utf8')
        const length = Buffer.allocUnsafe(4)
        length.writeUInt32LE(text.byteLength)
        return [length, text]
      }),
    )
  }
  if (leaf.kind === 'boolean') {
    const bits = new Uint8Array((values.length + 7) >> 3)
    values.forEach((value, n) => {
      if (value === true) bits[n >> 3] = (bits[n >> 3] ?? 0) | (1 << (n & 7))
    })
    return bits
  }
  const width = leaf.kind === 'int32' ? 4 : 8
  const bytes = Buffer.alloc(values.length * width)
  values.forEach((value, n) => {
    if (width === 4) bytes.writeInt32LE(Number(value), n * 4)
    else bytes.writeBigInt64LE(BigInt(Math.trunc(Number(value))), n * 8)
  })
  return bytes
}

/** "struct FileMetaData" */
function encodeFooter(fields: RecordFields, groups: readonly Group[]): Uint8Array {
  const thrift = new ThriftWriter()
  thrift.i32(1, 1)
  thrift.list(2, listOf.struct, 1 + countElements(fields))
  thrift.element()
  thrift.text(4, 'spark_schema')
  thrift.i32(5, Object.keys(fields).length)
  thrift.end()
  writeElements(thrift, fields)
  thrift.i64(
    3,
    groups.reduce((sum, group) => sum + group.rowCount, 0),
  )
  thrift.list(4, listOf.struct, groups.length)
  for (const group of groups) writeGroup(thrift, group)
  thrift.text(6, 'sluice version 0.1.0')
  thrift.end()
  return thrift.finish()
}

function countElements(fields: RecordFields): number {
  let count = 0
  for (const type of Object.values(fields)) {
    count += 1
    if (type.kind === 'struct') count += countElements(type.fields)
    else if (type.kind === 'list') count += 2
    else if (type.kind === 'map') count += 3
  }
  return count
}

/** "struct SchemaElement" of every field, depth first. */
function writeElements(thrift: ThriftWriter, fields: RecordFields): void {
  for (const [name, type] of Object.entries(fields)) {
    if (type.kind === 'struct') {
      writeGroupElement(thrift, name, { children: Object.keys(type.fields).length })
      writeElements(thrift, type.fields)
    } else if (type.kind === 'list') {
      writeGroupElement(thrift, name, { children: 1, annotation: 'list' })
      writeGroupElement(thrift, 'list', { children: 1, repetitionType: repetition.repeated })
      writeLeafElement(thrift, 'element', { kind: 'string', repetitionType: repetition.optional })
    } else if (type.kind === 'map') {
      writeGroupElement(thrift, name, { children: 1, annotation: 'map' })
      writeGroupElement(thrift, 'key_value', { children: 2, repetitionType: repetition.repeated })
      writeLeafElement(thrift, 'key', { kind: 'string', repetitionType: required })
      writeLeafElement(thrift, 'value', { kind: 'string', repetitionType: repetition.optional })
    } else {
      writeLeafElement(thrift, name, { kind: type.kind, repetitionType: repetition.optional })
    }
  }
}

/** enum FieldRepetitionType */
const required = 0

function writeGroupElement(
  thrift: ThriftWriter,
  name: string,
  group: {
    readonly children: number
    readonly repetitionType?: number
    readonly annotation?: 'list' | 'map'
  },
): void {
  thrift.element()
  thrift.i32(3, group.repetitionType ?? repetition.optional)
  thrift.text(4, name)
  thrift.i32(5, group.children)
  if (group.annotation !== undefined) {
    thrift.i32(6, converted[group.annotation])
    thrift.struct(10)
    thrift.struct(group.annotation === 'list' ? logicalType.list : logicalMap)
    thrift.end()
    thrift.end()
  }
  thrift.end()
}

function writeLeafElement(
  thrift: ThriftWriter,
  name: string,
  leaf: { readonly kind: LeafColumn['kind']; readonly repetitionType: number },
): void {
  thrift.element()
  thrift.i32(1, physicalOf[leaf.kind])
  thrift.i32(3, leaf.repetitionType)
  thrift.text(4, name)
  if (leaf.kind === 'string') {
    thrift.i32(6, converted.utf8)
    thrift.struct(10)
    thrift.struct(logicalType.string)
    thrift.end()
    thrift.end()
  }
  thrift.end()
}

/** "struct RowGroup" and its "struct ColumnChunk"s. */
function writeGroup(thrift: ThriftWriter, group: Group): void {
  thrift.element()
  thrift.list(1, listOf.struct, group.chunks.length)
  for (const chunk of group.chunks) {
    thrift.element()
    thrift.i64(2, chunk.offset)
    thrift.struct(3)
    thrift.i32(1, physicalOf[chunk.leaf.kind])
    thrift.list(2, listOf.i32, 2)
    thrift.elementI32(encoding.plain)
    thrift.elementI32(encoding.rle)
    thrift.list(3, listOf.binary, chunk.leaf.path.length)
    for (const name of chunk.leaf.path) thrift.elementText(name)
    thrift.i32(4, codecZstd)
    thrift.i64(5, chunk.valueCount)
    thrift.i64(6, chunk.uncompressedBytes)
    thrift.i64(7, chunk.compressedBytes)
    thrift.i64(9, chunk.offset)
    thrift.end()
    thrift.end()
  }
  thrift.i64(
    2,
    group.chunks.reduce((sum, chunk) => sum + chunk.uncompressedBytes, 0),
  )
  thrift.i64(3, group.rowCount)
  thrift.end()
}
