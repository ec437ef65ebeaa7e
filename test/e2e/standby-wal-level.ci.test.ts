/**
 * A slot on a standby does not survive a lower wal_level of its primary. (A primary that has such a
 * slot itself does not even start then.)
 */
import { afterEach, expect, test } from 'vitest'
import { sourceOf, tableNamed } from '../../src/source/postgres/testing/postgres-fixture.ts'
import { RecordingSink } from '../../src/source/postgres/testing/recording-sink.ts'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts'
import { startStandby } from '../support/standby.ts'

/** Standbys decode their log from this version on, and tell why they do not from the next one on. */
const version = Math.max(postgresVersion, 16)

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

/** A slot on a standby waits until its primary tells which transactions run. */
async function telling<T>(primary: EmbeddedPostgres, work: Promise<T>): Promise<T> {
  let isOver = false
  const over = work.finally(() => (isOver = true))
  over.catch(() => undefined)
  while (!isOver) await primary.sql('select pg_log_standby_snapshot(), pg_sleep(0.1)')
  return await over
}

async function restartWith(primary: EmbeddedPostgres, level: string): Promise<void> {
  await primary.sql(`alter system set wal_level = ${level}`)
  await primary.shutdown()
  await primary.start()
}

test('trap: the wal_level of the primary was lowered', async () => {
  const primary = await startEmbeddedPostgres({ version })
  ends.push(async () => await primary.stop())
  await primary.sql('create table w (id int primary key); create publication w for table only w')
  const standby = await startStandby(primary, { name: 'reader', version })
  ends.push(async () => await standby.stop())
  await standby.catchUp()
  const source = sourceOf(standby, { name: 'w' })
  ends.push(async () => await source.close())
  const tables = [await tableNamed(source, 'w')]
  const state = await telling(primary, source.prepare(tables, undefined))
  await primary.sql('insert into w values (1)')
  await restartWith(primary, 'replica')
  await standby.catchUp()
  const reason = version < 17 ? 'conflicting' : 'wal_level_insufficient'
  const lost = {
    code: 'SOURCE_LOG_LOST',
    message: expect.stringContaining(`wal_level was lowered below logical (${reason})`),
    remedy: expect.stringMatching(/wal_level = logical.*sluice refresh --all --full/),
  }
  await expect(source.prepare(tables, state)).rejects.toMatchObject(lost)
  expect((await source.health()).stall).toMatchObject(lost)
  await restartWith(primary, 'logical')
  await standby.catchUp()
  const { position: from } = await telling(primary, source.prepare(tables, undefined))
  await primary.sql('insert into w values (2)')
  await standby.catchUp()
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  const { signal } = new AbortController()
  await telling(primary, source.streamChanges({ from, until, tables, sink, signal }))
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(['2'])
})
