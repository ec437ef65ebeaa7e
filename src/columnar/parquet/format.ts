/**
 * Constants of the Parquet format. Spec: apache/parquet-format, src/main/thrift/parquet.thrift;
 * each table carries the name of its enum there.
 */

/** File header and trailer ("File format" in README.md). */
export const magic = new Uint8Array([0x50, 0x41, 0x52, 0x31])

/** enum Type */
export const physicalType = {
  boolean: 0,
  int32: 1,
  int64: 2,
  float: 4,
  double: 5,
  byteArray: 6,
  fixedLenByteArray: 7,
} as const

/** enum ConvertedType: the annotation older readers know. */
export const convertedType = {
  utf8: 0,
  list: 3,
  decimal: 5,
  date: 6,
  timestampMicros: 10,
  int8: 15,
  int16: 16,
} as const

/** Field ids of union LogicalType. */
export const logicalType = {
  string: 1,
  list: 3,
  decimal: 5,
  date: 6,
  timestamp: 8,
  integer: 10,
} as const

/** Field id of MicroSeconds in union TimeUnit. */
export const timeUnitMicros = 2

/** enum FieldRepetitionType */
export const repetition = { optional: 1, repeated: 2 } as const

/** enum Encoding */
export const encoding = { plain: 0, rle: 3, rleDictionary: 8 } as const

/** enum CompressionCodec */
export const codecZstd = 6

/** enum PageType */
export const pageType = { dataPage: 0, dictionaryPage: 2 } as const
