import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TableId } from '../table-schema.ts'
import { compareTree, type PartitionNode, type PartitionTree, recordOf } from './partition-tree.ts'

const id = (number: number): TableId => String(number) as TableId

function node(
  number: number,
  attachedBy: bigint,
  more: Partial<PartitionNode> = {},
): PartitionNode {
  return {
    id: id(number),
    parent: id(1),
    kind: 'r',
    schema: 'public',
    table: `t${number}`,
    isLogged: true,
    file: '7',
    placedBy: 3,
    attachedBy,
    isBorn: true,
    ...more,
  }
}

const tree = (ended: bigint, ...nodes: PartitionNode[]): PartitionTree => ({
  root: id(1),
  ended,
  nodes,
})

test('a partition that came is told, whichever transactions ran when the record was made', () => {
  const ids = fc.uniqueArray(fc.integer({ min: 2, max: 60 }), { maxLength: 20 })
  const xid = fc.bigInt({ min: 1n, max: 100n })
  fc.assert(
    fc.property(
      ids,
      fc.array(xid, { minLength: 20, maxLength: 20 }),
      xid,
      xid,
      (all, by, ended, newBy) => {
        const known = all.map((number, index) => node(number, by[index] ?? 1n))
        const record = recordOf(tree(ended, ...known), false)
        // What was not seen then was attached by a transaction that had not ended.
        const added = node(99, ended > newBy ? ended : newBy)
        expect(compareTree(record, tree(200n, ...known), false)).toEqual({
          kind: 'grown',
          added: [],
        })
        expect(compareTree(record, tree(200n, added, ...known), false)).toEqual({
          kind: 'grown',
          added: [added],
        })
        for (const gone of known) {
          const rest = known.filter((one) => one !== gone)
          expect(compareTree(record, tree(200n, ...rest, added), false).kind).toBe('changed')
          const moved = { ...gone, parent: id(98) }
          expect(compareTree(record, tree(200n, ...rest, moved), false).kind).toBe('changed')
        }
      },
    ),
  )
})

test('a partition attached anew or moved to another level is no old one', () => {
  const record = recordOf(tree(50n, node(2, 10n), node(3, 20n)), false)
  const anew = compareTree(record, tree(90n, node(2, 10n), node(3, 60n)), false)
  expect(anew).toEqual({ kind: 'changed' })
  const moved = compareTree(record, tree(90n, node(2, 10n), node(3, 20n, { parent: id(2) })), false)
  expect(moved).toEqual({ kind: 'changed' })
})

test('trap: a partition that is known though it came late is no old one when it is attached anew', () => {
  const record = recordOf(tree(50n, node(2, 10n), node(3, 60n)), false)
  expect(compareTree(record, tree(90n, node(2, 10n), node(3, 60n)), false).kind).toBe('grown')
  const anew = compareTree(record, tree(90n, node(2, 10n), node(3, 70n)), false)
  expect(anew).toEqual({ kind: 'changed' })
})

test('files count only where they are asked for', () => {
  const known = tree(50n, node(2, 10n), node(3, 60n))
  const emptied = tree(50n, node(2, 10n, { file: '8' }), node(3, 60n))
  expect(compareTree(recordOf(known, false), emptied, false).kind).toBe('grown')
  expect(compareTree(recordOf(known, true), emptied, true)).toEqual({ kind: 'changed' })
})

test('what the record is not to know yet stays new', () => {
  const all = tree(50n, node(2, 10n), node(3, 20n), node(4, 30n))
  const record = recordOf(all, false, new Set([id(3)]))
  expect(compareTree(record, { ...all, ended: 90n }, false)).toEqual({
    kind: 'grown',
    added: [node(3, 20n)],
  })
})
