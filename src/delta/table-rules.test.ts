/** Small pure parts: schema codec, protocol rules, properties, paths in the log. */
import { expect, test } from 'vitest'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { encodeDataPath, logicalFileKey, storagePathOf } from './data-path.ts'
import { assertReadable, assertWritable } from './protocol.ts'
import { standardTable } from './standard-table.ts'
import { deletedFileRetentionMs, parseIntervalMs } from './table-properties.ts'
import { columnsOfDeltaSchema, deltaSchemaString, parseDeltaSchema } from './table-schema.ts'

const types: readonly (readonly [CanonicalType, unknown])[] = [
  [{ kind: 'boolean' }, 'boolean'],
  [{ kind: 'int8' }, 'byte'],
  [{ kind: 'int16' }, 'short'],
  [{ kind: 'int32' }, 'integer'],
  [{ kind: 'int64' }, 'long'],
  [{ kind: 'float32' }, 'float'],
  [{ kind: 'float64' }, 'double'],
  [{ kind: 'decimal', precision: 38, scale: 9 }, 'decimal(38,9)'],
  [{ kind: 'string' }, 'string'],
  [{ kind: 'binary' }, 'binary'],
  [{ kind: 'date' }, 'date'],
  [{ kind: 'timestamp' }, 'timestamp'],
  [{ kind: 'timestamp_ntz' }, 'timestamp_ntz'],
  [
    { kind: 'array', element: { kind: 'decimal', precision: 5, scale: 0 } },
    { type: 'array', elementType: 'decimal(5,0)', containsNull: true },
  ],
]

test('every canonical type has a Delta type and comes back', () => {
  const columns = types.map(([type], n) => ({
    name: `c${n} "é"`,
    type,
    nullable: n !== 0,
    metadata: {},
  }))
  const text = deltaSchemaString(columns)
  expect(columnsOfDeltaSchema(text)).toEqual(columns)
  expect(parseDeltaSchema(text).map((field) => field.type)).toEqual(types.map(([, name]) => name))
})

test('a type that has no canonical counterpart is refused with the name of its column', () => {
  const struct = { type: 'struct', fields: [] }
  const fields = [{ name: 'nested', type: struct, nullable: true, metadata: {} }]
  const text = JSON.stringify({ type: 'struct', fields })
  expect(parseDeltaSchema(text)).toEqual(fields)
  expect(() => columnsOfDeltaSchema(text)).toThrow('column "nested" has the type struct')
  for (const broken of ['', '{}', '[]', 'null', '{"fields":[{"name":"x"}]}']) {
    expect(() => parseDeltaSchema(broken)).toThrow('is not a table schema')
  }
})

test('timestampNtz is asked for only when a column needs it, in arrays too', () => {
  const featuresOf = (type: CanonicalType): unknown =>
    standardTable({ columns: [{ name: 'c', type }], createdAtMs: 0 }).protocol
  expect(featuresOf({ kind: 'timestamp' })).toEqual({
    minReaderVersion: 3,
    minWriterVersion: 7,
    readerFeatures: ['deletionVectors'],
    writerFeatures: ['deletionVectors', 'appendOnly', 'invariants'],
  })
  for (const type of [
    { kind: 'timestamp_ntz' },
    { kind: 'array', element: { kind: 'timestamp_ntz' } },
  ] as const) {
    expect(featuresOf(type)).toMatchObject({ readerFeatures: ['deletionVectors', 'timestampNtz'] })
  }
})

const { protocol, metadata } = standardTable({ columns: [], createdAtMs: 0 })
const legacy = (minReaderVersion: number, minWriterVersion: number): typeof protocol => ({
  minReaderVersion,
  minWriterVersion,
})
const configured = (configuration: Record<string, string>): typeof metadata => ({
  ...metadata,
  configuration,
})

test('our own profile and harmless legacy tables may be written', () => {
  assertWritable(protocol, metadata, 't')
  assertWritable(legacy(1, 2), metadata, 't')
  assertWritable(legacy(2, 6), metadata, 't')
})

test.each([
  ['reader version 4', legacy(4, 2), metadata],
  ['writer version 8', legacy(1, 8), metadata],
  ['checkConstraints', legacy(1, 3), configured({ 'delta.constraints.positive': 'id > 0' })],
  ['changeDataFeed', legacy(1, 4), configured({ 'delta.enableChangeDataFeed': 'true' })],
  ['generatedColumns', legacy(1, 4), { ...metadata, schemaString: '"delta.generationExpression"' }],
  ['columnMapping', legacy(2, 5), configured({ 'delta.columnMapping.mode': 'name' })],
  [
    'rowTracking, inCommitTimestamp',
    { ...protocol, writerFeatures: ['rowTracking', 'inCommitTimestamp'] },
    metadata,
  ],
  ['constructor', { ...protocol, writerFeatures: ['constructor'] }, metadata],
  ['v2Checkpoint', { ...protocol, readerFeatures: ['v2Checkpoint'] }, metadata],
  ['partition columns', protocol, { ...metadata, partitionColumns: ['day'] }],
])('%s keeps us from writing', (what, tableProtocol, tableMetadata) => {
  expect(() => assertWritable(tableProtocol, tableMetadata, 't')).toThrow(what)
})

test('all missing reader features are named at once', () => {
  const features = {
    ...protocol,
    readerFeatures: ['deletionVectors', 'variantType', 'typeWidening'],
  }
  expect(() => assertReadable(features, 'a/b')).toThrow(
    'can not read Delta table a/b: variantType, typeWidening',
  )
})

test('intervals', () => {
  expect(parseIntervalMs('interval 7 days')).toBe(604_800_000)
  expect(parseIntervalMs('INTERVAL 1 WEEK 2 hours')).toBe(612_000_000)
  expect(parseIntervalMs('90 minutes')).toBe(5_400_000)
  for (const odd of [
    undefined,
    '',
    'interval',
    '7',
    'days 7',
    'interval 1 fortnight',
    'interval -1 days',
  ]) {
    expect(parseIntervalMs(odd)).toBeUndefined()
  }
  expect(deletedFileRetentionMs(metadata)).toBe(604_800_000)
})

test('paths of the log lead to paths of the storage, and not out of it', () => {
  const storage = createLocalStorage('/lake/a b')
  const table = { storage, root: 'main/t' }
  expect(encodeDataPath('p=1/part é %.parquet')).toBe('p%3D1/part%20%C3%A9%20%25.parquet')
  expect(storagePathOf(table, encodeDataPath('p=1/part é %.parquet'))).toBe(
    'main/t/p=1/part é %.parquet',
  )
  expect(storagePathOf(table, '100%.parquet')).toBe('main/t/100%.parquet')
  expect(storagePathOf({ storage, root: '' }, 'x')).toBe('x')
  for (const absolute of [
    'file:///lake/a%20b/other/x',
    'file:/lake/a%20b/other/x',
    '/lake/a%20b/other/x',
  ]) {
    expect(storagePathOf(table, absolute)).toBe('other/x')
  }
  for (const outside of ['/lake/a', '/lake/a%20bc/x', 's3://bucket/lake/x', 'file:///etc/passwd']) {
    expect(() => storagePathOf(table, outside)).toThrow('lies outside')
  }
})

test('a logical file has one key, however its path is spelled', () => {
  const deletionVector = {
    storageType: 'u',
    pathOrInlineDv: 'x',
    offset: 1,
    sizeInBytes: 1,
    cardinality: 1,
  } as const
  const keys = ['file:/d/a%20b', 'file:///d/a%20b', '/d/a b', 'FILE:///d/a b'].map((path) =>
    logicalFileKey({ path }),
  )
  expect(new Set(keys)).toEqual(new Set(['/d/a b']))
  expect(logicalFileKey({ path: 's3a://b/x' })).toBe(logicalFileKey({ path: 's3://b/x' }))
  expect(logicalFileKey({ path: 'x', deletionVector })).toBe('x\nux@1')
})
