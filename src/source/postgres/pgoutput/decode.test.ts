import { expect, test } from 'vitest'
import { absent } from '../../../../test/support/column-values.ts'
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
import type { Position } from '../../source.ts'
import type { RowIdentity } from '../../table-schema.ts'
import { mapPostgresType, typeOid } from '../types.ts'
import { readBegin } from './decode.ts'
import { bindRelation, readRelation } from './relation.ts'

const { unchanged } = write

/** The rows that `messages` make within one transaction. */
function rowsOf(relation: Buffer, ...messages: Buffer[]): unknown[] {
  const { sink, feed } = harness()
  feed(write.begin(100n, time, 7), relation, ...messages, write.commit(100n, 140n, time))
  expect(sink.events.at(0)).toEqual({ kind: 'begin', xid: 7, commitTimeUs: time })
  expect(sink.events.at(-1)).toEqual({ kind: 'commit', position: 'at 140' })
  return sink.events
    .slice(1, -1)
    .map((event) => (event.kind === 'row' ? [event.op, ...event.cells] : event))
}

test('a transaction is begin, rows in order, commit; and the decoder knows where it is', () => {
  const { sink, decoder, feed } = harness()
  feed(
    write.begin(2n ** 40n, time, 4_294_967_290),
    write.origin('elsewhere'),
    write.typeName(99, 'mood'),
    announced,
    write.insert(oid, ['1', 'a', null, '1.50']),
    write.logicalMessage('prefix', Buffer.from('content')),
    write.insert(oid, ['2', '', 'é', '-0.01']),
  )
  expect(decoder.inTransaction).toBe(true)
  expect([decoder.finalLsn, decoder.xid, decoder.commitTimeUs]).toEqual([
    2n ** 40n,
    4_294_967_290,
    time,
  ])
  feed(write.commit(2n ** 40n, 2n ** 40n + 48n, time))
  expect(decoder.inTransaction).toBe(false)
  expect(decoder.endLsn).toBe(2n ** 40n + 48n)
  expect(sink.events).toEqual([
    { kind: 'begin', xid: 4_294_967_290, commitTimeUs: time },
    { kind: 'row', table: 'items', op: 'i', cells: [1n, 'a', null, 150n] },
    { kind: 'row', table: 'items', op: 'i', cells: [2n, '', 'é', -1n] },
    { kind: 'commit', position: `at ${2n ** 40n + 48n}` },
  ])
  expect(sink.targetCount).toBe(1)
})

test('readBegin() tells of a transaction before it is delivered', () => {
  const message = write.begin(55n, time, 9)
  expect(readBegin(message, 0, message.length)).toEqual({
    finalLsn: 55n,
    commitTimeUs: time,
    xid: 9,
  })
})

test('an update without an old image keeps unchanged cells absent', () => {
  expect(rowsOf(announced, write.update(oid, ['1', 'a', unchanged, null]))).toEqual([
    ['u', 1n, 'a', absent, null],
  ])
})

test('trap: a change of key is a delete of the old key and an insert with absent cells', () => {
  const old = { kind: 'K', cells: ['1', 'a', null, null] } as const
  expect(rowsOf(announced, write.update(oid, ['2', 'a', unchanged, '3.00'], old))).toEqual([
    ['d', 1n, 'a', absent, absent],
    ['i', 2n, 'a', absent, 300n],
  ])
})

test('an old key that equals the new one is no change of key', () => {
  // Sent so when the key has a toasted value: it is unchanged, and only the old image holds it.
  const old = { kind: 'K', cells: ['1', 'long', null, null] } as const
  expect(rowsOf(announced, write.update(oid, ['1', unchanged, 'x', null], old))).toEqual([
    ['u', 1n, 'long', 'x', null],
  ])
  expect(rowsOf(announced, write.update(oid, ['2', unchanged, unchanged, null], old))).toEqual([
    ['d', 1n, 'long', absent, absent],
    ['i', 2n, 'long', absent, null],
  ])
})

test('identity full resolves unchanged cells from the old image and sees a change of key', () => {
  const old = { kind: 'O', cells: ['1', 'a', 'big', null] } as const
  expect(
    rowsOf(
      announcedFull,
      write.update(oid, ['1', 'a', unchanged, '2.00'], old),
      write.update(oid, ['1', 'b', unchanged, unchanged], old),
      write.update(oid, ['10', 'a', 'new', null], old),
      write.remove(oid, old),
    ),
  ).toEqual([
    ['u', 1n, 'a', 'big', 200n],
    ['d', 1n, 'a', 'big', null],
    ['i', 1n, 'b', 'big', null],
    ['d', 1n, 'a', 'big', null],
    ['i', 10n, 'a', 'new', null],
    ['d', 1n, 'a', 'big', null],
  ])
})

test('trap: a delete carries the key, its other cells are absent and not NULL', () => {
  expect(
    rowsOf(announced, write.remove(oid, { kind: 'K', cells: ['1', 'a', null, null] })),
  ).toEqual([['d', 1n, 'a', absent, absent]])
})

test('truncate names the followed tables only', () => {
  const { sink, feed } = harness({ ignore: 5 })
  feed(
    write.begin(1n, time, 1),
    announced,
    write.relation(5, 'other', written),
    write.insert(5, ['1', 'a', null, null]),
    write.truncate([5]),
    write.truncate([5, oid]),
    write.insert(oid, ['1', 'a', null, null]),
    write.commit(1n, 2n, time),
  )
  expect(sink.events.map(({ kind }) => kind)).toEqual(['begin', 'truncate', 'row', 'commit'])
  expect(sink.events[1]).toEqual({ kind: 'truncate', tables: [`${oid}`] })
})

test('rows that the sink does not want are skipped unread', () => {
  const { sink, feed } = harness({ wanted: () => false })
  feed(
    write.begin(1n, time, 1),
    announced,
    write.insert(oid, ['not a number', 'a', null, null]),
    write.commit(1n, 2n, time),
  )
  expect(sink.events.map(({ kind }) => kind)).toEqual(['begin', 'commit'])
})

test('a relation that changes within a transaction changes its rows from there on', () => {
  const { sink, feed } = harness()
  feed(
    write.begin(1n, time, 1),
    announced,
    write.insert(oid, ['1', 'a', 'x', null]),
    write.relation(oid, 'items', [...written.slice(0, 2), { name: 'n', typeOid: typeOid.int4 }]),
    write.insert(oid, ['2', 'b', '5']),
    write.commit(1n, 2n, time),
  )
  expect(sink.events.flatMap((event) => (event.kind === 'row' ? [event.cells] : []))).toEqual([
    [1n, 'a', 'x', null],
    [2n, 'b', 5n],
  ])
})

test('columns are found by name, whatever their order in the tuple', () => {
  const shuffled = [written[3], written[1], written[0], written[2]].flatMap((column) =>
    column === undefined ? [] : [column],
  )
  const relation = readRelationOf(write.relation(oid, 'items', shuffled))
  const bound = bindRelation(
    relation,
    tableOf('items', oid),
    written.map((column) => mapPostgresType({ typmod: -1, ...column, typtype: 'b' }).decoder),
  )
  expect(bound.kind === 'bound' && [...bound.binding.places]).toEqual([2, 1, 3, 0])
})

function readRelationOf(message: Buffer): ReturnType<typeof readRelation> {
  return readRelation(message, 0, message.length)
}

test('trap: bindRelation() says which columns are missing and which keys are not sent', () => {
  const decoders = written.map(
    (column) => mapPostgresType({ typmod: -1, ...column, typtype: 'b' }).decoder,
  )
  const table = tableOf('items', oid)
  const short = readRelationOf(write.relation(oid, 'items', written.slice(0, 2)))
  expect(bindRelation(short, table, decoders)).toEqual({
    kind: 'columns-missing',
    columns: ['body', 'price'],
  })
  const keyless = written.map((column) => ({ ...column, isKey: column.name === 'part' }))
  const relation = readRelationOf(write.relation(oid, 'items', keyless, 'i'))
  expect(bindRelation(relation, table, decoders)).toEqual({ kind: 'key-not-sent', columns: ['id'] })
})

test('trap: a key that came without its value is a gap of that table only; one that does not fit is none', () => {
  const columns: write.WrittenColumn[] = [
    { name: 'id', typeOid: typeOid.timestamptz, isKey: true },
    { name: 'body', typeOid: typeOid.text },
  ]
  const { sink, feed } = harness()
  feed(
    write.begin(1n, time, 1),
    write.relation(8, 'dated', columns),
    announced,
    write.insert(8, ['infinity', 'x']),
    write.insert(oid, ['1', 'a', null, null]),
    write.update(8, ['2024-01-01 00:00:00+00', 'x'], { kind: 'K', cells: ['-infinity', null] }),
    write.update(oid, [unchanged, 'a', null, null]),
    write.insert(8, ['1970-01-01 00:00:00+00', null]),
    write.commit(1n, 2n, time),
  )
  const seen = sink.events.map((event) =>
    'table' in event ? `${event.kind} ${event.table}` : event.kind,
  )
  expect(seen).toEqual([
    'begin',
    'row dated',
    'row items',
    'row dated',
    'row dated',
    `gap ${oid}`,
    'row dated',
    'commit',
  ])
})

test('trap: an inserted row that lacks a value is a gap, not a row that keeps a former one', () => {
  expect(rowsOf(announced, write.insert(oid, ['1', 'a', unchanged, null]))).toEqual([
    { kind: 'gap', table: `${oid}` },
  ])
})

test('trap: without a key only the whole row as it was says which one is meant', () => {
  const whole = { kind: 'O', cells: ['1', 'a', 'x', null] } as const
  const key = { kind: 'K', cells: ['1', 'a', null, null] } as const
  const after = ['1', 'a', 'y', null]
  const seen = (identity: RowIdentity, ...messages: Buffer[]): unknown[] => {
    const { sink, feed } = harness({ identity })
    feed(write.begin(1n, time, 1), announced, ...messages, write.commit(1n, 2n, time))
    return sink.events.slice(1, -1).map((event) => ('op' in event ? event.op : event.kind))
  }
  const changes = [write.update(oid, after, whole), write.remove(oid, whole)]
  expect(seen('full-row', ...changes)).toEqual(['d', 'i', 'd'])
  for (const change of [
    write.update(oid, after),
    write.update(oid, after, key),
    write.remove(oid, key),
  ]) {
    expect(seen('full-row', change)).toEqual(['gap'])
  }
  // And who follows inserts alone has nothing to find a row in.
  for (const change of changes) expect(seen('insert-only', change)).toEqual(['gap'])
})

test('waiting for room makes the decoder ask for its target again', async () => {
  const { sink, decoder, feed } = harness()
  feed(write.begin(1n, time, 1), announced, write.insert(oid, ['1', 'a', null, null]))
  expect(decoder.pressure()).toBeUndefined()
  feed(write.insert(oid, ['2', 'a', null, null]))
  expect(sink.targetCount).toBe(1)
  sink.pressure = () => Promise.resolve(sink.heartbeat('' as Position))
  await decoder.pressure()
  feed(write.insert(oid, ['3', 'a', null, null]))
  expect(sink.targetCount).toBe(2)
})
