import fc from 'fast-check'
import { expect, test } from 'vitest'
import { silentLog } from '../../observe/log.ts'
import { parseDdlMessage } from './ddl-messages.ts'
import { triggerVersion } from './ddl-trigger.ts'

const token = '4fbd5b1e-0000-4000-8000-1234567890ab'
const head = { version: triggerVersion, token }

const column = {
  id: '16400',
  name: 'id',
  attnum: '1',
  type_oid: '23',
  typmod: '-1',
  not_null: true,
  generated: '',
  xmin: '700',
  has_missing: false,
  file: '16400',
  last: '3',
  missing: null,
  labels: null,
  kind: 'b',
  base: null,
  base_typmod: null,
  formatted: 'integer',
}
const added = { ...column, name: 'c', attnum: '3', not_null: false, has_missing: true }
const table = {
  id: '16400',
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  identity: 'd',
  is_partition: false,
  part_of: null,
  catalog: 'shop',
  rows: null,
  bytes: '8192',
  key: ['id'],
  primary_key: { name: 't_pkey', columns: ['id'] },
  identity_index: 't_pkey',
}
const description = { table, columns: [column, { ...added, missing: '7' }], own: ['3'] }

function parse(value: unknown, wanted = token): ReturnType<typeof parseDdlMessage> {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return parseDdlMessage(Buffer.from(text), wanted, silentLog)
}

test('a description is the table as the catalog would show it', () => {
  const message = parse({ head, body: { kind: 'table', description } })
  if (message?.kind !== 'table') throw new Error('no description')
  const { catalog, own } = message.described
  expect(own).toEqual(new Set(['3']))
  expect(catalog.table.name).toEqual({ catalog: 'shop', schema: 'public', table: 't' })
  expect(catalog.table.schema.key).toEqual(['id'])
  expect(catalog.table.schema.columns.map(({ id, nullable }) => [id, nullable])).toEqual([
    ['1', false],
    ['3', true],
  ])
  expect(catalog.table.schema.storage).toEqual({
    file: '16400',
    definition: '1:700 3:700',
    lastColumn: 3,
  })
  expect(catalog.columns[1]?.missing).toEqual({ text: '7' })
})

test('the other kinds', () => {
  expect(parse({ head, body: { kind: 'look' } })).toEqual({ kind: 'look' })
  const rewritten = { kind: 'rewritten', id: '16400' }
  expect(parse({ head, body: rewritten })).toEqual(rewritten)
  expect(parse({ head, body: { kind: 'unknown' } })).toEqual({ kind: 'unknown' })
})

test('without the token, or of another version, a message is none', () => {
  const body = { kind: 'table', description }
  expect(parse({ head: { version: triggerVersion, token: token.replace('4', '5') }, body })).toBe(
    undefined,
  )
  for (const other of [
    {},
    null,
    [],
    { ...head, version: triggerVersion + 1 },
    { ...head, token: 7 },
  ]) {
    expect(parse({ head: other, body })).toBe(undefined)
  }
  for (const text of ['', 'heartbeat', '{', '[]', 'null', '{}', `{"head":"${token}"}`]) {
    expect(parse(text)).toBe(undefined)
  }
})

test('a table with generated columns or money is named only', () => {
  for (const one of [{ generated: 's' }, { money: ['$1.00', '-$1.00', 2] }]) {
    const columns = [{ ...column, ...one }]
    const body = { kind: 'table', description: { ...description, columns } }
    expect(parse({ head, body })).toEqual({ kind: 'unknown', id: '16400' })
  }
})

test('what is not as the triggers write it describes nothing', () => {
  const wrong: readonly unknown[] = [
    { ...description, table: { ...table, id: 16400.5 } },
    { ...description, table: { ...table, id: "1' OR 1=1" } },
    { ...description, table: null },
    { ...description, columns: { 0: column } },
    { ...description, columns: [column, column] },
    { ...description, columns: [added, column] },
    { ...description, columns: [{ ...column, attnum: '-1' }] },
    { ...description, columns: [{ ...column, attnum: '4' }] },
    { ...description, columns: [{ ...column, typmod: 'x' }] },
    { ...description, columns: [{ ...column, has_missing: 'perhaps' }] },
    { ...description, columns: [{ ...column, name: null }] },
    { ...description, own: ['x'] },
    { ...description, own: '3' },
  ]
  for (const one of wrong) {
    expect(parse({ head, body: { kind: 'table', description: one } })).toEqual({ kind: 'unknown' })
  }
})

test('whatever stands in a message, reading it does not fail', () => {
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null))
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(column)),
      fc.constantFrom(...Object.keys(table)),
      fc.oneof(leaf, fc.array(leaf), fc.object()),
      (ofColumn, ofTable, value) => {
        const changed = {
          ...description,
          table: { ...table, [ofTable]: value },
          columns: [{ ...column, [ofColumn]: value }],
        }
        const message = parse({ head, body: { kind: 'table', description: changed } })
        expect(['table', 'unknown']).toContain(message?.kind)
        expect(['table', 'unknown']).toContain(
          parse({ head, body: { kind: 'table', description: value } })?.kind,
        )
      },
    ),
  )
})
