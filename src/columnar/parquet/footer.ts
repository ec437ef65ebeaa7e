/** The footer of a file. Spec: parquet-format README.md "File format" and "struct FileMetaData". */
import type { ParquetColumn } from '../parquet-encoder.ts'
import { writeColumnChunk, type ChunkFacts } from './column-chunk.ts'
import { magic } from './format.ts'
import { writeSchema } from './schema-element.ts'
import { listOf, ThriftWriter } from './thrift-writer.ts'

/** Version of the format ("struct FileMetaData", field 1). */
const formatVersion = 1
/** Writers put their name and version here; readers work around defects of versions by it. */
const createdBy = 'sluice version 0.1.0'
/** Row group ordinals are 16 bits wide; files with more groups leave them out. */
const largestOrdinal = 32_767

/** What the footer keeps of a row group; its pages are long written. */
export interface RowGroup {
  /** Offset of the first byte in the file. */
  readonly offset: number
  readonly rowCount: number
  readonly chunks: readonly ChunkFacts[]
}

/** FileMetaData, its length in 4 bytes little endian, and the magic number. */
export function encodeFooter(
  columns: readonly ParquetColumn[],
  rowGroups: readonly RowGroup[],
): Uint8Array {
  const thrift = new ThriftWriter()
  thrift.i32(1, formatVersion)
  writeSchema(thrift, 2, columns)
  thrift.i64(
    3,
    rowGroups.reduce((sum, group) => sum + group.rowCount, 0),
  )
  thrift.list(4, listOf.struct, rowGroups.length)
  for (const [ordinal, group] of rowGroups.entries()) writeRowGroup(thrift, group, ordinal)
  thrift.text(6, createdBy)
  writeColumnOrders(thrift, 7, columns.length)
  thrift.end()
  const metadata = thrift.finish()
  const bytes = new Uint8Array(metadata.length + 4 + magic.length)
  bytes.set(metadata)
  new DataView(bytes.buffer).setUint32(metadata.length, metadata.length, true)
  bytes.set(magic, metadata.length + 4)
  return bytes
}

/** "struct RowGroup" */
function writeRowGroup(thrift: ThriftWriter, group: RowGroup, ordinal: number): void {
  let uncompressedBytes = 0
  let offset = group.offset
  thrift.element()
  thrift.list(1, listOf.struct, group.chunks.length)
  for (const chunk of group.chunks) {
    writeColumnChunk(thrift, chunk, offset)
    uncompressedBytes += chunk.uncompressedBytes
    offset += chunk.compressedBytes
  }
  thrift.i64(2, uncompressedBytes)
  thrift.i64(3, group.rowCount)
  thrift.i64(5, group.offset)
  thrift.i64(6, offset - group.offset)
  if (ordinal <= largestOrdinal) thrift.i16(7, ordinal)
  thrift.end()
}

/** One "union ColumnOrder" a leaf column, each TypeDefinedOrder: else readers ignore min and max. */
function writeColumnOrders(thrift: ThriftWriter, fieldId: number, count: number): void {
  thrift.list(fieldId, listOf.struct, count)
  for (let column = 0; column < count; column++) {
    thrift.element()
    thrift.struct(1)
    thrift.end()
    thrift.end()
  }
}
