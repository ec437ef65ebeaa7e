/**
 * One column of one row group as pages. Spec: parquet-format README.md "Column chunks" and
 * "Data Pages", and "struct PageHeader", "struct ColumnChunk", "struct ColumnMetaData" in
 * parquet.thrift. Data pages have format V1, which every reader knows.
 */
import { giveBuffer, takeBuffer } from '../buffer-pool.ts'
import type { Column } from '../column-batch.ts'
import { writeChunkStatistics } from './chunk-statistics.ts'
import { compressZstd } from './compress.ts'
import type { Extremes } from './extremes.ts'
import { codecZstd, encoding, pageType } from './format.ts'
import { leafValuesOf } from './leaf-values.ts'
import { levelSourceOf } from './levels.ts'
import type { LeafColumn } from './schema-element.ts'
import { listOf, ThriftWriter } from './thrift-writer.ts'

/** Uncompressed bytes a data page is planned to have. */
const pageBytes = 1 << 20

interface Page {
  readonly type: number
  readonly valueCount: number
  readonly encoding: number
  readonly uncompressedBytes: number
  readonly compressed: Promise<readonly Uint8Array[]>
}

/** What the footer says about a chunk; the offset is known when the chunk is placed in the file. */
export interface ChunkFacts {
  readonly leaf: LeafColumn
  readonly encodings: readonly number[]
  readonly levelCount: number
  readonly nullCount: number
  readonly extremes: Extremes
  /** 0 when there is no dictionary page; page header included. */
  readonly dictionaryPageBytes: number
  /** Both with page headers, as the footer wants them. */
  readonly uncompressedBytes: number
  readonly compressedBytes: number
}

export interface ColumnChunk {
  /** Page headers and pages, in file order. */
  readonly parts: readonly Uint8Array[]
  readonly facts: ChunkFacts
}

/** The encoding is done when this returns, the compression when the promise is kept. */
export function encodeColumnChunk(
  column: Column,
  leaf: LeafColumn,
  zstdLevel: number,
): Promise<ColumnChunk> {
  const leafData = column.list?.elements ?? column
  const levels = levelSourceOf(column)
  const values = leafValuesOf(leafData, leaf.scalar)
  const pages: Page[] = []
  if (values.dictionary !== undefined) {
    pages.push({
      type: pageType.dictionaryPage,
      valueCount: values.dictionary.entryCount,
      encoding: encoding.plain,
      uncompressedBytes: values.dictionary.bytes.length,
      compressed: compressZstd(values.dictionary.bytes, zstdLevel),
    })
  }
  const rowsPerPage = planRowsPerPage(column.rowCount, values.byteLength)
  let levelCount = 0
  for (let start = 0; start < column.rowCount; start += rowsPerPage) {
    const page = levels.take(start, Math.min(start + rowsPerPage, column.rowCount))
    const bytes = concat(page.bytes, values.take(page.valueCount))
    levelCount += page.levelCount
    pages.push({
      type: pageType.dataPage,
      valueCount: page.levelCount,
      encoding: values.encoding,
      uncompressedBytes: bytes.length,
      compressed: compressZstd(bytes, zstdLevel).then((compressed) => {
        giveBuffer(bytes.buffer)
        return compressed
      }),
    })
  }
  if (values.dictionary !== undefined) giveBuffer(values.dictionary.indices.buffer)
  return finishChunk(pages, {
    leaf,
    encodings: [
      ...(values.dictionary === undefined ? [] : [encoding.plain]),
      encoding.rle,
      values.encoding,
    ],
    levelCount,
    nullCount: levelCount - leafData.valueCount,
    extremes: values.extremes(),
  })
}

/** A multiple of 8, so that the bits of a page's levels start with a byte of their own. */
function planRowsPerPage(rowCount: number, byteLength: number): number {
  const pageCount = Math.max(1, Math.ceil(byteLength / pageBytes))
  return Math.max(8, Math.ceil(rowCount / pageCount / 8) * 8)
}

async function finishChunk(
  pages: readonly Page[],
  facts: Pick<ChunkFacts, 'leaf' | 'encodings' | 'levelCount' | 'nullCount' | 'extremes'>,
): Promise<ColumnChunk> {
  const compressed = await Promise.all(pages.map((page) => page.compressed))
  const parts: Uint8Array[] = []
  let dictionaryPageBytes = 0
  let uncompressedBytes = 0
  let compressedBytes = 0
  for (const [index, page] of pages.entries()) {
    const pieces = compressed[index] ?? []
    const pageBytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const header = pageHeader(page, pageBytes)
    parts.push(header, ...pieces)
    uncompressedBytes += header.length + page.uncompressedBytes
    compressedBytes += header.length + pageBytes
    if (page.type === pageType.dictionaryPage) dictionaryPageBytes = compressedBytes
  }
  return {
    parts,
    facts: { ...facts, dictionaryPageBytes, uncompressedBytes, compressedBytes },
  }
}

/** "struct PageHeader" with a DataPageHeader (field 5) or a DictionaryPageHeader (field 7). */
function pageHeader(page: Page, compressedBytes: number): Uint8Array {
  const thrift = new ThriftWriter()
  thrift.i32(1, page.type)
  thrift.i32(2, page.uncompressedBytes)
  thrift.i32(3, compressedBytes)
  if (page.type === pageType.dictionaryPage) {
    thrift.struct(7)
    thrift.i32(1, page.valueCount)
    thrift.i32(2, page.encoding)
  } else {
    thrift.struct(5)
    thrift.i32(1, page.valueCount)
    thrift.i32(2, page.encoding)
    thrift.i32(3, encoding.rle)
    thrift.i32(4, encoding.rle)
  }
  thrift.end()
  thrift.end()
  return thrift.finish()
}

/** "struct ColumnChunk" as a list element; `offset` is where the chunk's first page header lies. */
export function writeColumnChunk(thrift: ThriftWriter, chunk: ChunkFacts, offset: number): void {
  thrift.element()
  // file_offset: 0, as the metadata stands in the footer only.
  thrift.i64(2, 0)
  thrift.struct(3)
  thrift.i32(1, chunk.leaf.physicalType)
  thrift.list(2, listOf.i32, chunk.encodings.length)
  for (const used of chunk.encodings) thrift.elementI32(used)
  thrift.list(3, listOf.binary, chunk.leaf.path.length)
  for (const name of chunk.leaf.path) thrift.elementText(name)
  thrift.i32(4, codecZstd)
  thrift.i64(5, chunk.levelCount)
  thrift.i64(6, chunk.uncompressedBytes)
  thrift.i64(7, chunk.compressedBytes)
  thrift.i64(9, offset + chunk.dictionaryPageBytes)
  if (chunk.dictionaryPageBytes > 0) thrift.i64(11, offset)
  writeChunkStatistics(thrift, 12, {
    type: chunk.leaf.scalar,
    extremes: chunk.extremes,
    nullCount: chunk.nullCount,
  })
  thrift.end()
  thrift.end()
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(takeBuffer(a.length + b.length), 0, a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}
