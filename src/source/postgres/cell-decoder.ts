/**
 * How the text of one cell becomes a cell of a column builder: a small kind and its parameters,
 * interpreted by one switch, so that every builder call is monomorphic and can be inlined.
 */
import type {
  BooleanBuilder,
  BytesBuilder,
  ColumnBuilder,
  Decimal128Builder,
  Float32Builder,
  Float64Builder,
  Int32Builder,
  Int64Builder,
} from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'
import { appendBoolean, appendHex } from './cell-bytes.ts'
import { appendDecimal32, appendDecimal64, appendDecimal128 } from './cell-decimal.ts'
import { appendFloat32, appendFloat64 } from './cell-float.ts'
import { appendInt32, appendInt64 } from './cell-integer.ts'
import { appendMoney, type MoneyFormat } from './cell-money.ts'
import { appendDate, appendTimestamp } from './cell-time.ts'

/** What a cell's text is read as. Numbers, because the hot loop switches on them. */
export const cellKind = {
  text: 0,
  boolean: 1,
  int32: 2,
  int64: 3,
  float32: 4,
  float64: 5,
  decimal32: 6,
  decimal64: 7,
  decimal128: 8,
  hex: 9,
  date: 10,
  timestamp: 11,
  money: 12,
} as const

export type CellKind = (typeof cellKind)[keyof typeof cellKind]

/** Made by `mapPostgresType`, one per column; opaque to everybody else but for the counter. */
export interface CellDecoder {
  readonly kind: CellKind
  /** Only for decimals. */
  readonly precision: number
  readonly scale: number
  /** Set for int2, whose range is smaller than its builder's. */
  readonly smallest: number
  /** Set for money. */
  readonly money: MoneyFormat | undefined
  readonly onUnfit: (() => void) | undefined
  /**
   * Cells so far that the column's type can not hold (±infinity, NaN, years outside 0001–9999): NULL
   * in the batch, with their text beside it.
   */
  unfitCount: number
}

/** Kinds whose text may be a value that the canonical type can not hold. */
export function canBeUnfit(kind: CellKind): boolean {
  return kind >= cellKind.decimal32 && kind !== cellKind.hex && kind !== cellKind.money
}

function appendUnfit(
  decoder: CellDecoder,
  builder: ColumnBuilder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  builder.appendUnfit(bytes, start, end)
  decoder.unfitCount++
  if (decoder.unfitCount === 1) decoder.onUnfit?.()
}

/**
 * Appends the cell whose text is `bytes[start, end)`. Throws SOURCE_VALUE_MALFORMED; the builder then
 * is as it was.
 */
export function appendCell(
  decoder: CellDecoder,
  builder: ColumnBuilder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  if (decoder.kind === cellKind.text) {
    ;(builder as BytesBuilder).appendView(bytes, start, end)
    return
  }
  // Only text may be empty; from here on there is a first byte to look at.
  if (start >= end) throw malformedCell('anything but text', 0)
  let held = true
  switch (decoder.kind) {
    case cellKind.boolean:
      appendBoolean(builder as BooleanBuilder, bytes, start, end)
      return
    case cellKind.int32:
      appendInt32(builder as Int32Builder, bytes, start, end, decoder.smallest)
      return
    case cellKind.int64:
      appendInt64(builder as Int64Builder, bytes, start, end)
      return
    case cellKind.float32:
      appendFloat32(builder as Float32Builder, bytes, start, end)
      return
    case cellKind.float64:
      appendFloat64(builder as Float64Builder, bytes, start, end)
      return
    case cellKind.decimal32:
      held = appendDecimal32(builder as Int32Builder, bytes, start, end, decoder)
      break
    case cellKind.decimal64:
      held = appendDecimal64(builder as Int64Builder, bytes, start, end, decoder)
      break
    case cellKind.decimal128:
      held = appendDecimal128(builder as Decimal128Builder, bytes, start, end, decoder)
      break
    case cellKind.hex:
      appendHex(builder as BytesBuilder, bytes, start, end)
      return
    case cellKind.date:
      held = appendDate(builder as Int32Builder, bytes, start, end)
      break
    case cellKind.timestamp:
      held = appendTimestamp(builder as Int64Builder, bytes, start, end)
      break
    case cellKind.money:
      if (decoder.money === undefined) throw malformedCell('money of a known format', 0)
      appendMoney(builder as Decimal128Builder, bytes, start, end, decoder.money)
      return
    default:
      decoder.kind satisfies never
  }
  if (!held) appendUnfit(decoder, builder, bytes, start, end)
}
