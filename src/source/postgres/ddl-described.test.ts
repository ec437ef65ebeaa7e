import { expect, test } from 'vitest'
import type { TableId, TableSchema } from '../table-schema.ts'
import { DescribedTables } from './ddl-described.ts'
import type { TableDescription } from './ddl-messages.ts'
import type { CatalogTable } from './discover.ts'
import type { Relation } from './pgoutput/relation.ts'

/** With columns of these numbers; `last`: the greatest that there ever was. */
function schemaOf(attnums: readonly number[], last: number): TableSchema {
  const type = { kind: 'int32' } as const
  return {
    columns: attnums.map((id) => ({
      name: `c${id}`,
      type,
      sourceType: 'integer',
      nullable: true,
      id: String(id),
    })),
    key: ['c1'],
    storage: { file: '1', definition: attnums.join(' '), lastColumn: last },
  }
}

function description(attnums: readonly number[], last: number): TableDescription {
  const columns = attnums.map((id) => ({
    name: `c${id}`,
    typeOid: 23,
    typmod: -1,
    attnum: String(id),
  }))
  const table = { id: '1' as TableId, schema: schemaOf(attnums, last) }
  const catalog = { table, columns, generated: [], kind: 'r', isPartition: false }
  return { catalog: catalog as unknown as CatalogTable, own: new Set() }
}

function announced(attnums: readonly number[]): Relation {
  const columns = attnums.map((id) => ({ name: `c${id}`, isKey: false, typeOid: 23, typmod: -1 }))
  return { oid: 1, schema: 'public', table: 't', replicaIdentity: 'd', columns }
}

function inForce(): DescribedTables {
  const described = new DescribedTables()
  described.isInForce = true
  return described
}

test('what is described is taken once, for the table that is announced so', () => {
  const described = inForce()
  expect(described.isUnchanged('1')).toBe(true)
  described.note({ kind: 'table', described: description([1, 2, 3], 3) })
  expect(described.isUnchanged('1')).toBe(false)
  const taken = described.take('1', schemaOf([1, 2], 2), announced([1, 2, 3]))
  expect(taken).toMatchObject({ isCertain: false, isRewritten: false })
  expect(described.take('1', schemaOf([1, 2], 2), announced([1, 2, 3]))).toBe(undefined)
})

test('trap: nobody told is not the same as nothing changed', () => {
  expect(new DescribedTables().isUnchanged('1')).toBe(false)
  const one = inForce()
  one.note({ kind: 'unknown', id: '1' })
  expect([one.isUnchanged('1'), one.isUnchanged('2')]).toEqual([false, true])
  const blind = inForce()
  blind.note({ kind: 'unknown' })
  blind.ended()
  expect(blind.isUnchanged('2')).toBe(false)
  const rewritten = inForce()
  rewritten.note({ kind: 'rewritten', id: '1' })
  expect(rewritten.isUnchanged('1')).toBe(false)
})

test('trap: a description that is not what the stream announces describes another moment', () => {
  const described = inForce()
  described.note({ kind: 'table', described: description([1, 2, 3], 3) })
  expect(described.take('1', schemaOf([1, 2], 2), announced([1, 2]))).toBe(undefined)
})

test('trap: a description that is older than what is known does not take columns back', () => {
  const described = inForce()
  described.note({ kind: 'table', described: description([1, 2], 2) })
  expect(described.take('1', schemaOf([1, 2, 3], 3), announced([1, 2]))).toBe(undefined)
})
