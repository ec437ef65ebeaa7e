/**
 * The type test: every type, with its ugliest values, read by COPY and by pgoutput, gives the same
 * bytes; and those are what the server itself computes in SQL.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type pg from 'pg'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import type { Column } from '../../columnar/column-batch.ts'
import { createColumnBuilder } from '../../columnar/column-builder.ts'
import { columnValues, rowTarget } from '../../../test/support/column-values.ts'
import {
  copyTable,
  type KnownTable,
  knownTable,
  readChanges,
  readingSettings,
} from '../../../test/support/postgres-both-ways.ts'
import type { ChangeSink, RowTarget } from '../change-sink.ts'
import { caseExtensions, caseTypes } from '../../../test/support/postgres-limit-cases.ts'
import { typeCases } from '../../../test/support/postgres-type-cases.ts'

const tableName = (index: number): string => `type_${index}`
const textTruth = `encode(convert_to(format('%s', c), 'UTF8'), 'hex')`

/** The cells of column `c` in the spelling of the truths. */
function spelled(column: Column): (string | null)[] {
  const bits = new DataView(new ArrayBuffer(8))
  return columnValues(column).map((value) => {
    if (value === null) return null
    if (typeof value === 'number') {
      const size = column.type.kind === 'float32' ? 4 : 8
      if (size === 4) bits.setFloat32(0, value)
      else bits.setFloat64(0, value)
      return Buffer.from(bits.buffer, 0, size).toString('hex')
    }
    if (column.type.kind === 'string') return Buffer.from(String(value), 'utf8').toString('hex')
    return String(value)
  })
}

let server: EmbeddedPostgres
let client: pg.Client
const tables: KnownTable[] = []
const streamed = new Map<string, RowTarget>()

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  client = await server.connect()
  await client.query(`${readingSettings};
    ${caseTypes} ${caseExtensions}
    create publication everything for all tables`)
  await client.query(`select pg_create_logical_replication_slot('types', 'pgoutput')`)
  for (const [index, { type, values }] of typeCases.entries()) {
    const name = tableName(index)
    await client.query(`create table ${name} (id int primary key, c ${type})`)
    for (const [row, value] of [...values, 'null'].entries()) {
      await client.query(`insert into ${name} values (${row}, cast(${value} as ${type}))`)
    }
    tables.push(await knownTable(client, name, ['id']))
  }
  const sink: ChangeSink = {
    begin: () => undefined,
    rowsFor: (table) => {
      const known = streamed.get(table.id)
      if (known !== undefined) return known
      const columns = table.schema.columns.map(({ name, type }) => createColumnBuilder(name, type))
      const target = rowTarget(columns)
      streamed.set(table.id, target)
      return target
    },
    truncate: () => undefined,
    commit: () => undefined,
    heartbeat: () => undefined,
    schemaChanged: () => undefined,
    gap: () => undefined,
    pressure: () => undefined,
  }
  await readChanges(client, 'types', tables, sink)
})

afterAll(async () => {
  await client.end()
  await server.stop()
})

for (const [index, { type, kind, truth, values }] of typeCases.entries()) {
  test(`${type} reads the same by COPY, by pgoutput and in SQL`, async () => {
    const known = tables[index]
    if (known === undefined) throw new Error('the table was not made')
    expect(known.table.schema.columns[1]?.type.kind).toBe(kind ?? 'string')
    const copied = (await copyTable(server, client, known))[1]
    const followed = streamed.get(known.table.id)?.columns[1]?.finish()
    if (copied === undefined || followed === undefined) throw new Error('the column is missing')
    expect(copied.rowCount).toBe(values.length + 1)
    expect(Buffer.compare(followed.values, copied.values)).toBe(0)
    expect({ ...followed, values: undefined }).toEqual({ ...copied, values: undefined })
    const sql = await client.query<{ truth: string | null }>(
      `select case when num_nulls(c) = 0 then ${truth ?? textTruth} end as truth
       from ${tableName(index)} order by id`,
    )
    const truths = sql.rows.map((row) => row.truth)
    expect(spelled(copied)).toEqual(truths)
    const lost = truths.slice(0, -1).filter((value) => value === null).length
    // Both ways counted every cell that could not be held.
    expect(known.decoders[1]?.unfitCount).toBe(lost * 2)
  })
}
