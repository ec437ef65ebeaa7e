/**
 * PostgreSQL types as canonical types, and how their text is read. Snapshot (COPY text) and stream
 * (pgoutput text) share these decoders, so that a value arrives as the same bytes both ways.
 */
import type { CanonicalType } from '../../columnar/canonical-type.ts'
import { type CellDecoder, cellKind, type CellKind, canBeUnfit } from './cell-decoder.ts'
import type { MoneyFormat } from './cell-money.ts'

/** What the catalog says about a column's type. */
export interface PostgresColumnType {
  /** `pg_attribute.atttypid`. */
  readonly typeOid: number
  /** `pg_attribute.atttypmod`; -1 when there is none. */
  readonly typmod: number
  /** `pg_type.typtype`: b base, c composite, d domain, e enum, m multirange, p pseudo, r range. */
  readonly typtype: string
  /** Domains only: the innermost `pg_type.typbasetype`. */
  readonly baseTypeOid?: number
  /** Domains only: `pg_type.typtypmod` of the innermost domain. */
  readonly baseTypmod?: number
  /** How the server spells money; absent where it does not say so for certain. */
  readonly money?: MoneyFormat
}

export interface MapTypeOptions {
  /** The column is part of the table's key, which has no NULLs of its own. */
  readonly isKey?: boolean
  /** Called at the first cell that the column's type can not hold; for a log line. */
  readonly onUnfit?: () => void
}

export interface MappedType {
  readonly type: CanonicalType
  readonly decoder: CellDecoder
  /**
   * Some values of the type are staged as NULL (see `CellDecoder.unfitCount`), so the column must be
   * declared nullable even when the source says NOT NULL; false for key columns.
   */
  readonly mayBecomeNull: boolean
}

/** Built-in type oids, fixed in every PostgreSQL (pg_type.dat). */
export const typeOid = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  xid: 28,
  cid: 29,
  json: 114,
  float4: 700,
  float8: 701,
  money: 790,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  xid8: 5069,
  uuid: 2950,
  jsonb: 3802,
} as const

interface Reading {
  readonly type: CanonicalType
  readonly kind: CellKind
}

const text: Reading = { type: { kind: 'string' }, kind: cellKind.text }

/** Types read as something else than their text. */
const readings: ReadonlyMap<number, Reading> = new Map<number, Reading>([
  [typeOid.bool, { type: { kind: 'boolean' }, kind: cellKind.boolean }],
  [typeOid.int2, { type: { kind: 'int16' }, kind: cellKind.int32 }],
  [typeOid.int4, { type: { kind: 'int32' }, kind: cellKind.int32 }],
  [typeOid.int8, { type: { kind: 'int64' }, kind: cellKind.int64 }],
  // Unsigned numbers of 32 and of 64 bits.
  [typeOid.oid, { type: { kind: 'int64' }, kind: cellKind.int64 }],
  [typeOid.xid, { type: { kind: 'int64' }, kind: cellKind.int64 }],
  [typeOid.cid, { type: { kind: 'int64' }, kind: cellKind.int64 }],
  [typeOid.xid8, { type: { kind: 'decimal', precision: 20, scale: 0 }, kind: cellKind.decimal128 }],
  [typeOid.float4, { type: { kind: 'float32' }, kind: cellKind.float32 }],
  [typeOid.float8, { type: { kind: 'float64' }, kind: cellKind.float64 }],
  [typeOid.bytea, { type: { kind: 'binary' }, kind: cellKind.hex }],
  [typeOid.date, { type: { kind: 'date' }, kind: cellKind.date }],
  [typeOid.timestamp, { type: { kind: 'timestamp_ntz' }, kind: cellKind.timestamp }],
  [typeOid.timestamptz, { type: { kind: 'timestamp' }, kind: cellKind.timestamp }],
])

/** Largest precision of a decimal; a wider numeric arrives as its text. */
const maxPrecision = 38

/**
 * `numeric(p,s)`: typmod is ((p << 16) | s) + 4, s being an 11-bit signed number
 * (src/backend/utils/adt/numeric.c, make_numeric_typmod).
 */
function numericReading(typmod: number): Reading {
  if (typmod < 4) return text
  const precision = ((typmod - 4) >> 16) & 0xffff
  const scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024
  if (precision > maxPrecision || scale < 0 || scale > precision) return text
  const type = { kind: 'decimal', precision, scale } as const
  if (precision <= 9) return { type, kind: cellKind.decimal32 }
  if (precision <= 18) return { type, kind: cellKind.decimal64 }
  return { type, kind: cellKind.decimal128 }
}

/** Domains over money have another name, by which nobody knows how to compare them: they stay texts. */
function moneyReading({ typeOid: oid, money }: PostgresColumnType): Reading {
  if (oid !== typeOid.money || money === undefined) return text
  const type = { kind: 'decimal', precision: 19, scale: money.scale } as const
  return { type, kind: cellKind.money }
}

function readingOf(column: PostgresColumnType): Reading {
  const isDomain = column.typtype === 'd'
  const oid = isDomain ? column.baseTypeOid : column.typeOid
  const typmod = isDomain ? (column.baseTypmod ?? -1) : column.typmod
  if (oid === typeOid.numeric) return numericReading(typmod)
  return oid === typeOid.money ? moneyReading(column) : (readings.get(oid ?? 0) ?? text)
}

/** Never fails: a type not known by name arrives as its text. */
export function mapPostgresType(
  column: PostgresColumnType,
  options: MapTypeOptions = {},
): MappedType {
  const { type, kind } = readingOf(column)
  const isKey = options.isKey ?? false
  const decoder: CellDecoder = {
    kind,
    precision: type.kind === 'decimal' ? type.precision : 0,
    scale: type.kind === 'decimal' ? type.scale : 0,
    smallest: type.kind === 'int16' ? -32768 : -2147483648,
    money: column.money,
    onUnfit: options.onUnfit,
    unfitCount: 0,
  }
  return { type, decoder, mayBecomeNull: !isKey && canBeUnfit(kind) }
}
