/** Texts of PostgreSQL cells through the decoder of a column type. */
import type { Column } from '../../src/columnar/column-batch.ts'
import { createColumnBuilder } from '../../src/columnar/column-builder.ts'
import { appendCell } from '../../src/source/postgres/cell-decoder.ts'
import {
  mapPostgresType,
  type MappedType,
  type MapTypeOptions,
  typeOid,
} from '../../src/source/postgres/types.ts'
import { type CellValue, columnValues } from './column-values.ts'

export function mapOid(oid: number, typmod = -1, options: MapTypeOptions = {}): MappedType {
  return mapPostgresType({ typeOid: oid, typmod, typtype: 'b' }, options)
}

export function numericTypmod(precision: number, scale: number): number {
  return ((precision << 16) | (scale & 0x7ff)) + 4
}

export function mapNumeric(precision: number, scale: number): MappedType {
  return mapOid(typeOid.numeric, numericTypmod(precision, scale))
}

/** Each text as the cell of one row. The bytes around a cell are such as would be misread. */
export function decodeCells(mapped: MappedType, texts: readonly string[]): CellValue[] {
  return columnValues(decodeColumn(mapped, texts))
}

export function decodeColumn(mapped: MappedType, texts: readonly string[]): Column {
  const builder = createColumnBuilder('c', mapped.type)
  for (const text of texts) {
    const bytes = Buffer.from(`9-${text}99`, 'utf8')
    appendCell(mapped.decoder, builder, viewOf(bytes), 2, bytes.length - 2)
  }
  return builder.finish()
}

export function decodeCell(mapped: MappedType, text: string): CellValue {
  return decodeCells(mapped, [text])[0] ?? null
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
