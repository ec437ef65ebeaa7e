/** Changes that do not say everything that is needed: they are a gap of their table, never a guess. */
import { expect, test } from 'vitest'
import {
  announced,
  announcedFull,
  harness,
  oid,
  tableOf,
  time,
  written,
} from '../../../../test/support/pgoutput-harness.ts'
import * as write from '../../../../test/support/pgoutput-writer.ts'
import { recordingSink } from '../../../../test/support/recording-sink.ts'
import type { Position } from '../../source.ts'
import type { RowIdentity } from '../../table-schema.ts'
import { mapPostgresType } from '../types.ts'
import { createPgoutputDecoder } from './decode.ts'
import { bindRelation, readRelation } from './relation.ts'

const { unchanged } = write
const oldRow = { kind: 'O', cells: ['1', 'a', 'big', null] } as const
const oldKey = { kind: 'K', cells: ['1', 'a', null, null] } as const

/** What the messages are for a table without a key, by the kinds of calls and operations. */
function seenOf(identity: RowIdentity, messages: readonly Buffer[]): string[] {
  const sink = recordingSink()
  const relation = readRelation(announcedFull, 0, announcedFull.length)
  const table = tableOf('items', oid)
  const decoders = written.map(
    (column) => mapPostgresType({ typmod: -1, ...column, typtype: 'b' }).decoder,
  )
  const { columns } = table.schema
  const bound = bindRelation(
    relation,
    { ...table, schema: { columns, key: [], identity } },
    decoders,
  )
  if (bound.kind !== 'bound') throw new Error(bound.kind)
  const decoder = createPgoutputDecoder({
    sink,
    relations: new Map([[oid, bound.binding]]),
    position: () => '' as Position,
  })
  for (const message of [write.begin(1n, time, 1), ...messages, write.commit(1n, 2n, time)]) {
    decoder.message(message, 0, message.length)
  }
  return sink.events.slice(1, -1).map((event) => (event.kind === 'row' ? event.op : event.kind))
}

test('trap: an inserted row without one of its values is a gap, not a row with a cell that nobody has', () => {
  const { sink, feed } = harness()
  feed(
    write.begin(1n, time, 1),
    announced,
    write.insert(oid, ['1', 'a', unchanged, null]),
    write.insert(oid, ['2', 'a', 'x', null]),
    write.commit(1n, 2n, time),
  )
  expect(sink.events.map(({ kind }) => kind)).toEqual(['begin', 'gap', 'row', 'commit'])
})

test('trap: without a key, what does not name its whole row is a gap, not a change of some other row', () => {
  const after = ['1', 'b', 'big', null]
  const seen = (message: Buffer): string[] => seenOf('full-row', [message])
  expect(seen(write.update(oid, after, oldRow))).toEqual(['d', 'i'])
  expect(seen(write.remove(oid, oldRow))).toEqual(['d'])
  expect(seen(write.update(oid, after))).toEqual(['gap'])
  expect(seen(write.update(oid, after, { kind: 'O', cells: ['1', 'a', unchanged, null] }))).toEqual(
    ['gap'],
  )
  const partial = { kind: 'O', cells: ['1', unchanged, 'big', null] } as const
  expect(seen(write.remove(oid, partial))).toEqual(['gap'])
})

test('trap: an update of a table that is followed for its inserts alone is a gap, not an insert', () => {
  const seen = (message: Buffer): string[] => seenOf('insert-only', [message])
  expect(seen(write.insert(oid, ['1', 'a', 'x', null]))).toEqual(['i'])
  expect(seen(write.update(oid, ['1', 'b', 'x', null]))).toEqual(['gap'])
  expect(seen(write.update(oid, ['1', 'b', 'x', null], oldRow))).toEqual(['gap'])
  expect(seen(write.remove(oid, oldKey))).toEqual(['gap'])
})

test('trap: rows right after a TRUNCATE of their table are not those that it took away', () => {
  const { sink, feed } = harness()
  feed(
    write.begin(1n, time, 1),
    announced,
    write.insert(oid, ['1', 'a', null, null]),
    write.truncate([oid]),
    write.insert(oid, ['2', 'a', null, null]),
    write.commit(1n, 2n, time),
  )
  expect(sink.events.map(({ kind }) => kind)).toEqual(['begin', 'row', 'truncate', 'row', 'commit'])
})
