import { expect, test } from 'vitest'
import type { SourceTable, TableId } from '../table-schema.ts'
import { asRoot, bindPartition } from './partition-binding.ts'
import type { Relation, RelationBinding } from './pgoutput/relation.ts'

const column = (name: string, isKey = false): Relation['columns'][number] => ({
  name,
  isKey,
  typeOid: 23,
  typmod: -1,
})

const root = { oid: 1, schema: 'a', table: 'root', columns: ['id', 'day', 't'], key: ['id'] }

function partition(
  columns: Relation['columns'],
  replicaIdentity: Relation['replicaIdentity'] = 'd',
): Relation {
  return { oid: 2, schema: 'b', table: 'leaf', replicaIdentity, columns }
}

test('columns stand in the order of the root, and say where they are in the tuple', () => {
  const leaf = partition([column('t'), column('new'), column('id', true), column('day')])
  const { relation, places } = asRoot(leaf, root)
  expect(relation).toMatchObject({ oid: 1, schema: 'a', table: 'root' })
  expect(relation.columns.map(({ name }) => name)).toEqual(['id', 'day', 't', 'new'])
  expect([...places]).toEqual([2, 3, 0, 1])
  const table = { id: '1' as TableId } as SourceTable
  const asTheRoot: RelationBinding = {
    relation,
    table,
    places: Int32Array.of(0, 1, 2),
    decoders: [],
    keyPlaces: Int32Array.of(0),
  }
  const bound = bindPartition(leaf, { relation, places }, asTheRoot, undefined)
  expect(bound.relation).toBe(leaf)
  expect([[...bound.places], [...bound.keyPlaces]]).toEqual([[2, 3, 0], [2]])
})

test('an identity of more columns than the key will do, one of other columns will not', () => {
  const flags = (relation: Relation): boolean[] => relation.columns.map(({ isKey }) => isKey)
  const more = asRoot(partition([column('id', true), column('day', true), column('t')], 'i'), root)
  expect(flags(more.relation)).toEqual([true, false, false])
  const other = asRoot(partition([column('id'), column('day', true), column('t')], 'i'), root)
  expect(flags(other.relation)).toEqual([false, true, false])
  const full = partition([column('id', true), column('day', true), column('t', true)], 'f')
  expect(flags(asRoot(full, root).relation)).toEqual([true, true, true])
})
