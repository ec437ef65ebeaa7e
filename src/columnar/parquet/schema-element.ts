/**
 * Canonical types as Parquet schema elements. Spec: parquet-format LogicalTypes.md, and
 * "struct SchemaElement" in parquet.thrift. Every column is OPTIONAL; lists have the 3-level form
 * of LogicalTypes.md "Lists": `<name> (LIST) { repeated list { optional element } }`.
 */
import type { ScalarType } from '../canonical-type.ts'
import type { ParquetColumn } from '../parquet-encoder.ts'
import { convertedType, logicalType, physicalType, repetition, timeUnitMicros } from './format.ts'
import type { ThriftWriter } from './thrift-writer.ts'

/** Field ids of "struct SchemaElement". */
const field = {
  type: 1,
  typeLength: 2,
  repetitionType: 3,
  name: 4,
  numChildren: 5,
  convertedType: 6,
  scale: 7,
  precision: 8,
  logicalType: 10,
} as const

/** Bytes of a decimal of more than 18 digits: 38 digits fit 16 bytes of two's complement. */
export const decimal128Bytes = 16

/** The leaf column that a column's values go to. */
export interface LeafColumn {
  readonly path: readonly string[]
  readonly scalar: ScalarType
  readonly physicalType: number
  readonly isList: boolean
}

export function leafColumnOf(column: ParquetColumn): LeafColumn {
  const isList = column.type.kind === 'array'
  const scalar = column.type.kind === 'array' ? column.type.element : column.type
  return {
    path: isList ? [column.name, 'list', 'element'] : [column.name],
    scalar,
    physicalType: physicalTypeOf(scalar),
    isList,
  }
}

export function physicalTypeOf(type: ScalarType): number {
  switch (type.kind) {
    case 'boolean':
      return physicalType.boolean
    case 'int8':
    case 'int16':
    case 'int32':
    case 'date':
      return physicalType.int32
    case 'int64':
    case 'timestamp':
    case 'timestamp_ntz':
      return physicalType.int64
    case 'float32':
      return physicalType.float
    case 'float64':
      return physicalType.double
    case 'decimal':
      if (type.precision <= 9) return physicalType.int32
      return type.precision <= 18 ? physicalType.int64 : physicalType.fixedLenByteArray
    case 'string':
    case 'binary':
      return physicalType.byteArray
    default:
      return type satisfies never
  }
}

/** The depth-first list of schema elements ("Nested Encoding" needs no more than this). */
export function writeSchema(
  thrift: ThriftWriter,
  fieldId: number,
  columns: readonly ParquetColumn[],
): void {
  const lists = columns.filter((column) => column.type.kind === 'array').length
  thrift.list(fieldId, 12, 1 + columns.length + lists * 2)
  thrift.element()
  thrift.text(field.name, 'schema')
  thrift.i32(field.numChildren, columns.length)
  thrift.end()
  for (const { name, type } of columns) {
    if (type.kind === 'array') {
      writeListGroups(thrift, name)
      writeLeaf(thrift, 'element', type.element)
    } else writeLeaf(thrift, name, type)
  }
}

function writeListGroups(thrift: ThriftWriter, name: string): void {
  thrift.element()
  thrift.i32(field.repetitionType, repetition.optional)
  thrift.text(field.name, name)
  thrift.i32(field.numChildren, 1)
  thrift.i32(field.convertedType, convertedType.list)
  thrift.struct(field.logicalType)
  thrift.struct(logicalType.list)
  thrift.end()
  thrift.end()
  thrift.end()
  thrift.element()
  thrift.i32(field.repetitionType, repetition.repeated)
  thrift.text(field.name, 'list')
  thrift.i32(field.numChildren, 1)
  thrift.end()
}

function writeLeaf(thrift: ThriftWriter, name: string, type: ScalarType): void {
  const physical = physicalTypeOf(type)
  thrift.element()
  thrift.i32(field.type, physical)
  if (physical === physicalType.fixedLenByteArray) thrift.i32(field.typeLength, decimal128Bytes)
  thrift.i32(field.repetitionType, repetition.optional)
  thrift.text(field.name, name)
  const converted = convertedTypeOf(type)
  if (converted !== undefined) thrift.i32(field.convertedType, converted)
  if (type.kind === 'decimal') {
    thrift.i32(field.scale, type.scale)
    thrift.i32(field.precision, type.precision)
  }
  if (converted !== undefined) writeLogicalType(thrift, type)
  thrift.end()
}

function convertedTypeOf(type: ScalarType): number | undefined {
  switch (type.kind) {
    case 'string':
      return convertedType.utf8
    case 'decimal':
      return convertedType.decimal
    case 'date':
      return convertedType.date
    case 'int8':
      return convertedType.int8
    case 'int16':
      return convertedType.int16
    case 'timestamp':
    case 'timestamp_ntz':
      // LogicalTypes.md demands the same old annotation for local time, for forward compatibility.
      return convertedType.timestampMicros
    default:
      return undefined
  }
}

/** "union LogicalType": one struct inside the union, empty or with the type's parameters. */
function writeLogicalType(thrift: ThriftWriter, type: ScalarType): void {
  thrift.struct(field.logicalType)
  switch (type.kind) {
    case 'string':
      thrift.struct(logicalType.string)
      break
    case 'date':
      thrift.struct(logicalType.date)
      break
    case 'decimal':
      thrift.struct(logicalType.decimal)
      thrift.i32(1, type.scale)
      thrift.i32(2, type.precision)
      break
    case 'int8':
    case 'int16':
      thrift.struct(logicalType.integer)
      thrift.byte(1, type.kind === 'int8' ? 8 : 16)
      thrift.bool(2, true)
      break
    case 'timestamp':
    case 'timestamp_ntz':
      thrift.struct(logicalType.timestamp)
      thrift.bool(1, type.kind === 'timestamp')
      thrift.struct(2)
      thrift.struct(timeUnitMicros)
      thrift.end()
      thrift.end()
      break
    default:
      throw new Error(`no logical type for ${type.kind}`)
  }
  thrift.end()
  thrift.end()
}
