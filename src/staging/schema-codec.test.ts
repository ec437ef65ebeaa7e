import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ScalarType } from '../columnar/canonical-type.ts'
import type { SluiceError } from '../base/errors.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { decodeSchema, encodeSchema } from './schema-codec.ts'
import { encodeSealedJson } from './sealed-json.ts'

const scalar: fc.Arbitrary<ScalarType> = fc.oneof(
  fc
    .constantFrom(
      ...(['boolean', 'int8', 'int16', 'int32', 'int64', 'float32', 'float64'] as const),
      ...(['string', 'binary', 'date', 'timestamp', 'timestamp_ntz'] as const),
    )
    .map((kind) => ({ kind })),
  fc
    .tuple(fc.integer({ min: 1, max: 38 }), fc.nat())
    .map(([precision, n]) => ({ kind: 'decimal' as const, precision, scale: n % (precision + 1) })),
)
const name = fc.string({ unit: 'binary', maxLength: 20 })
const schemas: fc.Arbitrary<TableSchema> = fc.record({
  columns: fc.array(
    fc.record(
      {
        name,
        type: fc.oneof(
          scalar,
          scalar.map((element) => ({ kind: 'array' as const, element })),
        ),
        sourceType: name,
        nullable: fc.boolean(),
        id: name,
      },
      { requiredKeys: ['name', 'type', 'sourceType', 'nullable'] },
    ),
  ),
  key: fc.array(name),
})

test('a schema reads back as it was written', () => {
  fc.assert(
    fc.property(schemas, (schema) => {
      expect(decodeSchema(encodeSchema(schema), 'f')).toEqual(schema)
    }),
  )
})

test('the order of members in memory does not show in the bytes', () => {
  const type = { scale: 2, precision: 12, kind: 'decimal' } as const
  const column = { nullable: true, sourceType: 'numeric(12,2)', type, name: 'a' }
  const again = {
    name: 'a',
    type: { kind: 'decimal', precision: 12, scale: 2 },
    sourceType: 'numeric(12,2)',
    nullable: true,
  } as const
  expect(encodeSchema({ key: ['a'], columns: [column] })).toEqual(
    encodeSchema({ columns: [again], key: ['a'] }),
  )
})

const columnOf = (type: object): object => ({ name: 'a', type, source_type: 't', nullable: true })
test.each<[string, object, string]>([
  ['another format', { format: 2, columns: [], key: [] }, 'format'],
  [
    'an unknown type',
    { format: 1, columns: [columnOf({ kind: 'variant' })], key: [] },
    'columns[0].type.kind',
  ],
  [
    'an impossible decimal',
    { format: 1, columns: [columnOf({ kind: 'decimal', precision: 39, scale: 0 })], key: [] },
    'columns[0].type.precision',
  ],
  [
    'an array of arrays',
    {
      format: 1,
      columns: [columnOf({ kind: 'array', element: { kind: 'array' } })],
      key: [],
    },
    'columns[0].type.element.kind',
  ],
  ['a key that is no text', { format: 1, columns: [], key: [1] }, 'key[0]'],
])('a schema with %s is refused by file and field', (_, value, field) => {
  expect.assertions(2)
  try {
    decodeSchema(encodeSealedJson(value), 'schema-3.json')
  } catch (error) {
    expect(error).toMatchObject({ code: 'STAGING_SCHEMA_UNREADABLE' })
    expect((error as SluiceError).message).toMatch(`schema-3.json can not be read: ${field}`)
  }
})

test('a torn schema is refused', () => {
  const bytes = encodeSchema({ columns: [], key: ['id'] })
  expect(() => decodeSchema(bytes.subarray(0, bytes.length - 3), 'f')).toThrow(
    expect.objectContaining({ code: 'STAGING_SCHEMA_UNREADABLE' }),
  )
})
