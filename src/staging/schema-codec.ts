/** `tables/<id>/schema-<n>.json` to bytes and back; see docs/staging-format.md, "Schemas". */
import type { CanonicalType, ScalarType } from '../columnar/canonical-type.ts'
import { SluiceError } from '../base/errors.ts'
import type {
  RowIdentity,
  SourceColumn,
  TableSchema,
  TableStorage,
} from '../source/table-schema.ts'
import { FieldError, JsonFields } from './json-fields.ts'
import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'

const schemaFormat = 1
const rowIdentities: readonly RowIdentity[] = ['key', 'full-row', 'insert-only']

/** Equal schemas give equal bytes. */
export function encodeSchema(schema: TableSchema): Uint8Array {
  return encodeSealedJson({
    format: schemaFormat,
    columns: schema.columns.map((column) => ({
      name: column.name,
      type: canonicalOrder(column.type),
      source_type: column.sourceType,
      nullable: column.nullable,
      id: column.id,
    })),
    key: schema.key,
    identity: schema.identity,
    ...(schema.storage === undefined ? {} : { storage: storageJson(schema.storage) }),
  })
}

function storageJson({ file, definition, lastColumn, labels }: TableStorage): unknown {
  return { file, definition, last_column: lastColumn, labels }
}

/** `file` is for messages. Throws STAGING_SCHEMA_UNREADABLE. */
export function decodeSchema(bytes: Uint8Array, file: string): TableSchema {
  const sealed = decodeSealedJson(bytes)
  if (sealed.kind === 'damaged') throw unreadable(`${file} is damaged: ${sealed.reason}`)
  try {
    return parseSchema(sealed.value)
  } catch (error) {
    if (!(error instanceof FieldError)) throw error
    throw unreadable(`${file} can not be read: ${error.message}`, error)
  }
}

function unreadable(problem: string, cause?: unknown): SluiceError {
  return new SluiceError('STAGING_SCHEMA_UNREADABLE', `the schema file ${problem}`, { cause })
}

function parseSchema(value: unknown): TableSchema {
  const fields = new JsonFields(value, '')
  const format = fields.count('format')
  if (format !== schemaFormat) fields.fail('format', `${format} is not known`)
  const schema: TableSchema = {
    columns: fields.array('columns', parseColumn),
    key: fields.array('key', (name, path) => {
      if (typeof name !== 'string') throw new FieldError(path, 'is not a text')
      return name
    }),
    ...(fields.has('identity') ? { identity: parseIdentity(fields) } : {}),
    ...(fields.has('storage') ? { storage: parseStorage(fields.object('storage')) } : {}),
  }
  fields.end()
  return schema
}

function parseStorage(fields: JsonFields): TableStorage {
  const storage = {
    file: fields.text('file'),
    definition: fields.text('definition'),
    lastColumn: fields.count('last_column'),
    ...(fields.has('labels') ? { labels: fields.text('labels') } : {}),
  }
  fields.end()
  return storage
}

function parseIdentity(fields: JsonFields): RowIdentity {
  const identity = fields.text('identity')
  const known = rowIdentities.find((one) => one === identity)
  return (
    known ?? fields.fail('identity', `${JSON.stringify(identity)} is not known to this version`)
  )
}

function parseColumn(value: unknown, path: string): SourceColumn {
  const fields = new JsonFields(value, path)
  const column: SourceColumn = {
    name: fields.text('name'),
    type: parseType(fields.object('type')),
    sourceType: fields.text('source_type'),
    nullable: fields.boolean('nullable'),
    ...(fields.has('id') ? { id: fields.text('id') } : {}),
  }
  fields.end()
  return column
}

function parseType(fields: JsonFields): CanonicalType {
  const kind = fields.text('kind')
  const type: CanonicalType =
    kind === 'array'
      ? { kind, element: parseScalar(fields.object('element')) }
      : scalarOfKind(fields, kind)
  fields.end()
  return type
}

function parseScalar(fields: JsonFields): ScalarType {
  const type = scalarOfKind(fields, fields.text('kind'))
  fields.end()
  return type
}

function scalarOfKind(fields: JsonFields, kind: string): ScalarType {
  switch (kind) {
    case 'boolean':
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'float32':
    case 'float64':
    case 'string':
    case 'binary':
    case 'date':
    case 'timestamp':
    case 'timestamp_ntz':
      return { kind }
    case 'decimal':
      return decimalType(fields)
    default:
      return fields.fail('kind', `${JSON.stringify(kind)} is not known to this version`)
  }
}

function decimalType(fields: JsonFields): ScalarType {
  const precision = fields.count('precision')
  const scale = fields.count('scale')
  if (precision < 1 || precision > 38) fields.fail('precision', `is ${precision}`)
  if (scale > precision) fields.fail('scale', `is ${scale}, more than the precision ${precision}`)
  return { kind: 'decimal', precision, scale }
}

function canonicalOrder(type: CanonicalType): CanonicalType {
  if (type.kind !== 'array') return scalarOrder(type)
  return { kind: type.kind, element: scalarOrder(type.element) }
}

function scalarOrder(type: ScalarType): ScalarType {
  if (type.kind !== 'decimal') return { kind: type.kind }
  return { kind: type.kind, precision: type.precision, scale: type.scale }
}
