/** Both sides of `verify` must give the same text for the same value, whatever its type. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { type Engine, openEngine } from '../engine/duckdb.ts'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../test/support/embedded-postgres.ts'
import {
  bucketDigestSql as sourceBucketSql,
  rowDigestSql as sourceRowSql,
} from '../source/postgres/canonical-text.ts'
import type { SourceTable, TableId } from '../source/table-schema.ts'
import { unfitPolicies } from '../columnar/unfit-policy.ts'
import { destinationColumn } from '../destination/unfit-sql.ts'
import { bucketDigestSql, rowDigestSql } from './canonical-sql.ts'

interface Case {
  readonly type: CanonicalType
  readonly sourceType: string
  readonly engineType: string
  /** Literal text of each value; undefined: NULL. */
  readonly values: readonly (string | undefined)[]
  /** Values the destination holds as NULL. */
  readonly unrepresentable?: readonly string[]
  /** What a destination holds for them under the policy `clamp`. */
  readonly clamped?: readonly (string | undefined)[]
}

const cases: readonly Case[] = [
  {
    type: { kind: 'boolean' },
    sourceType: 'bool',
    engineType: 'BOOLEAN',
    values: ['true', 'false', undefined],
  },
  {
    type: { kind: 'int16' },
    sourceType: 'int2',
    engineType: 'SMALLINT',
    values: ['-32768', '32767', '0', undefined],
  },
  {
    type: { kind: 'int64' },
    sourceType: 'int8',
    engineType: 'BIGINT',
    values: ['-9223372036854775808', '9223372036854775807', '-1'],
  },
  {
    type: { kind: 'float32' },
    sourceType: 'float4',
    engineType: 'FLOAT',
    values: ['1.1', '-0', 'NaN', 'Infinity', '-Infinity', '1e-45', '3.4028235e38', undefined],
  },
  {
    type: { kind: 'float64' },
    sourceType: 'float8',
    engineType: 'DOUBLE',
    values: ['0.1', '-0', 'NaN', 'Infinity', '5e-324', '1.7976931348623157e308', undefined],
  },
  {
    type: { kind: 'decimal', precision: 12, scale: 2 },
    sourceType: 'numeric(12,2)',
    engineType: 'DECIMAL(12,2)',
    values: ['0', '-0.01', '0.50', '9999999999.99', '-9999999999.99', undefined],
    unrepresentable: ['NaN'],
    clamped: [undefined],
  },
  {
    type: { kind: 'decimal', precision: 38, scale: 38 },
    sourceType: 'numeric(38,38)',
    engineType: 'DECIMAL(38,38)',
    values: ['0.5', '-0.00000000000000000000000000000000000001', '0'],
  },
  {
    type: { kind: 'string' },
    sourceType: 'text',
    engineType: 'VARCHAR',
    values: ['', 'n', 'v1:x', 'ünï 😀', 'a\nb\\', undefined],
  },
  {
    type: { kind: 'string' },
    sourceType: 'char(4)',
    engineType: 'VARCHAR',
    values: ['ab  ', 'abcd'],
  },
  {
    type: { kind: 'string' },
    sourceType: 'numeric',
    engineType: 'VARCHAR',
    values: ['NaN', '1.000', '-123456789012345678901234567890.5'],
  },
  {
    type: { kind: 'date' },
    sourceType: 'date',
    engineType: 'DATE',
    values: ['0001-01-01', '9999-12-31', '1969-12-31', '2024-02-29', undefined],
    unrepresentable: ['infinity', '-infinity', '0001-01-01 BC', '10000-01-01'],
    clamped: ['9999-12-31', '0001-01-01', '0001-01-01', '9999-12-31'],
  },
  {
    type: { kind: 'timestamp' },
    sourceType: 'timestamptz',
    engineType: 'TIMESTAMPTZ',
    values: [
      '0001-01-01 00:00:00+00',
      '9999-12-31 23:59:59.999999+00',
      '1969-12-31 23:59:59.999999+00',
      undefined,
    ],
    unrepresentable: ['infinity', '10000-01-01 00:00:00+00', '0044-03-15 00:00:00+00 BC'],
    clamped: [
      '9999-12-31 23:59:59.999999+00',
      '9999-12-31 23:59:59.999999+00',
      '0001-01-01 00:00:00+00',
    ],
  },
  {
    type: { kind: 'timestamp_ntz' },
    sourceType: 'timestamp',
    engineType: 'TIMESTAMP',
    values: ['0001-01-01', '9999-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999', undefined],
    unrepresentable: ['-infinity', '10000-01-01'],
    clamped: ['0001-01-01', '9999-12-31 23:59:59.999999'],
  },
]

let server: EmbeddedPostgres
let engine: Engine
beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', timezone: 'UTC' } })
  engine = await openEngine()
})
afterAll(async () => {
  await engine.close()
  await server.stop()
})

const literal = (text: string | undefined): string =>
  text === undefined ? 'NULL' : `'${text.replaceAll("'", "''")}'`

function tableOf(name: string, type: CanonicalType, sourceType: string): SourceTable {
  return {
    id: name as TableId,
    name: { catalog: 'postgres', schema: 'public', table: name },
    estimatedRows: undefined,
    estimatedBytes: undefined,
    schema: {
      columns: [
        { name: 'id', type: { kind: 'int32' }, sourceType: 'integer', nullable: false },
        { name: 'Cell "x"', type, sourceType, nullable: true },
      ],
      key: ['id'],
    },
  }
}

test.each(cases.map((one, n) => ({ ...one, n })))(
  '$sourceType: the server and the engine give each row the same digest',
  async ({ type, sourceType, engineType, values, unrepresentable = [], n }) => {
    const name = `case_${n}`
    const all = [...values, ...unrepresentable]
    await server.sql(`CREATE TABLE ${name} (id int, "Cell ""x""" ${sourceType});
      INSERT INTO ${name} VALUES ${all.map((value, id) => `(${id}, ${literal(value)})`).join(', ')}`)
    const held = all.map((value, id) => `(${id}, ${id < values.length ? literal(value) : 'NULL'})`)
    await engine.run(`CREATE TABLE ${name} (id INTEGER, "Cell ""x""" ${engineType});
      INSERT INTO ${name} VALUES ${held.join(', ')}`)
    const table = tableOf(name, type, sourceType)
    const columns = table.schema.columns
    const key = columns.slice(0, 1)
    const buckets = Array.from({ length: 256 }, (_, bucket) => bucket)
    const theirs = await server.sql(sourceRowSql(table, ['id', 'Cell "x"'], { buckets }))
    const ours = await engine.rows(rowDigestSql(name, { key, columns, buckets }))
    const sorted = (rows: readonly Record<string, unknown>[]): unknown[] =>
      rows.map((row) => `${String(row['key'])} ${String(row['digest'])}`).toSorted()
    expect(sorted(ours)).toEqual(sorted(theirs))
    expect(theirs).toHaveLength(all.length)

    const modulo = (rows: readonly Record<string, unknown>[]): unknown[] =>
      rows
        .map(
          (row) =>
            `${String(row['bucket'])} ${String(row['rows'])} ${BigInt.asUintN(64, BigInt(String(row['sum'])))}`,
        )
        .toSorted()
    const sums = await engine.rows(bucketDigestSql(name, key, columns))
    expect(modulo(sums)).toEqual(
      modulo(await server.sql(sourceBucketSql(table, ['id', 'Cell "x"']))),
    )
  },
)

const unfitCases = cases.flatMap((one, n) => (one.clamped === undefined ? [] : [{ ...one, n }]))

test.each(unfitCases)(
  '$sourceType: values that do not fit compare equal under every policy',
  async ({ type, sourceType, engineType, values, unrepresentable = [], clamped = [], n }) => {
    const name = `unfit_${n}`
    const all = [...values, ...unrepresentable]
    await server.sql(`CREATE TABLE ${name} (id int, "Cell ""x""" ${sourceType});
      INSERT INTO ${name} VALUES ${all.map((value, id) => `(${id}, ${literal(value)})`).join(', ')}`)
    const texts = await server.sql(`SELECT "Cell ""x""" ::text AS cell FROM ${name} ORDER BY id`)
    const held: Readonly<Record<string, readonly (string | null | undefined)[]>> = {
      fail: [...values, ...unrepresentable.map(() => undefined)],
      null: [...values, ...unrepresentable.map(() => undefined)],
      clamp: [...values, ...clamped],
      string: texts.map(({ cell }) => cell as string | null),
      quarantine: values,
    }
    const table = tableOf(name, type, sourceType)
    const buckets = Array.from({ length: 256 }, (_, bucket) => bucket)
    for (const policy of unfitPolicies) {
      const columns = table.schema.columns.map((column) => destinationColumn(column, policy))
      const rows = (held[policy] ?? []).map(
        (value, id) => `(${id}, ${literal(value ?? undefined)})`,
      )
      await engine.run(`CREATE TABLE ${name}_${policy}
        (id INTEGER, "Cell ""x""" ${policy === 'string' ? 'VARCHAR' : engineType});
        INSERT INTO ${name}_${policy} VALUES ${rows.join(', ')}`)
      const theirs = await server.sql(sourceRowSql(table, ['id', 'Cell "x"'], { buckets, policy }))
      const key = columns.slice(0, 1)
      const ours = await engine.rows(rowDigestSql(`${name}_${policy}`, { key, columns, buckets }))
      const sorted = (all: readonly Record<string, unknown>[]): unknown[] =>
        all.map((row) => `${String(row['key'])} ${String(row['digest'])}`).toSorted()
      expect(sorted(ours), policy).toEqual(sorted(theirs))
      expect(theirs, policy).toHaveLength(rows.length)
    }
  },
)

test('trap: rows of as many columns as a server allows are compared, however deep it lets an expression be', async () => {
  const columns = Array.from({ length: 1600 }, (_, n) => ({
    name: `c${n}`,
    type: { kind: 'int32' } as const,
    sourceType: 'integer',
    nullable: true,
  }))
  const names = columns.map(({ name }) => name)
  const sql = `CREATE TABLE wide (${names.map((name) => `${name} int`).join(', ')});
    INSERT INTO wide (c0, c5, c1599) VALUES (1, 2, 3), (2, NULL, 4)`
  await server.sql(sql)
  await engine.run(sql)
  const table = { ...tableOf('wide', { kind: 'int32' }, 'integer'), schema: { columns, key: [] } }
  const client = await server.connect()
  try {
    await client.query(`SET max_stack_depth = '100kB'`)
    const theirs = await client.query(sourceBucketSql(table, names))
    const ours = await engine.rows(bucketDigestSql('wide', columns, columns))
    const buckets = (rows: readonly Record<string, unknown>[]): unknown[] =>
      rows.map(({ bucket, rows: count }) => `${String(bucket)} ${String(count)}`).toSorted()
    expect(buckets(ours)).toEqual(buckets(theirs.rows as Record<string, unknown>[]))
    expect(ours).toHaveLength(2)
  } finally {
    await client.end()
  }
})
