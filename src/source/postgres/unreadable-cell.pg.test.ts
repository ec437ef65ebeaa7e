/** A cell in the stream that is no value of its column: the table alone is left out. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { RowTarget } from '../change-sink.ts'
import type { SourceTable } from '../table-schema.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

/** Keeps no row of a table that has a gap. */
class GapSink extends RecordingSink {
  override rowsFor(table: SourceTable): RowTarget | undefined {
    return this.gaps.some((gap) => gap.table === table.id) ? undefined : super.rowsFor(table)
  }
}

test('trap: a cell that does not read as a value of its column stops its table alone', async () => {
  await server.sql(`create table spoilt (id int primary key, note text, n int);
    create table sound (id int primary key)`)
  const proxy = await startProxy(server, {
    answer: (bytes, send) => {
      const at = bytes.indexOf('1234567')
      if (at >= 0) bytes.write('12x4567', at)
      send(bytes)
    },
  })
  const source = sourceOf(server, { name: 'cells', connection: { port: String(proxy.port) } })
  const tables = [await tableNamed(source, 'spoilt'), await tableNamed(source, 'sound')]
  const state = await source.prepare(tables, undefined)
  await server.sql('insert into sound values (1)')
  await server.sql(`begin; insert into sound values (2); insert into spoilt values (1, 'a', 1234567);
    insert into sound values (3); commit`)
  const first = startStream({ source, state, tables })
  await expect(first.ended).resolves.toBe('renew')
  expect(first.sink.transactions.map(({ rows }) => rows.length)).toEqual([1])
  const next = startStream({
    source,
    state: { position: first.reached },
    tables,
    sink: new GapSink(),
  })
  await next.reach(await source.currentPosition())
  expect(next.sink.gaps).toEqual([
    {
      table: tables[0]?.id,
      reason: 'Column public.spoilt.n: A cell does not read as a number: byte 0 does not fit.',
    },
  ])
  const rows = next.sink.transactions.flatMap((transaction) => transaction.rows)
  expect(rows.map(({ table, cells }) => [table, ...cells])).toEqual([
    ['sound', '2'],
    ['sound', '3'],
  ])
  await next.stop()
  await source.dispose()
  await source.close()
  await proxy.close()
})
