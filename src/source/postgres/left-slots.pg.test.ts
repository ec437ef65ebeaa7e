/** Slots that are not ours under a name like ours: whose they may be is told before how to drop them. */
import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { createControl } from './control.ts'
import { leftSlotFindings } from './prerequisites-log.ts'
import { connectionOptions } from './testing/postgres-fixture.ts'

const server = serverForTests()

test('a slot that nobody reads may be that of another data folder', async () => {
  const name = 'sluice_gw_0000000a'
  const [made] = await server.sql(
    `select lsn::text from pg_create_logical_replication_slot('${name}', 'pgoutput')`,
  )
  const control = createControl(parsePostgresOptions(connectionOptions(server, {})))
  expect(await leftSlotFindings(control, name)).toEqual([])
  const [finding, ...more] = await leftSlotFindings(control, 'sluice_gw_0000000b')
  expect(more).toEqual([])
  const { code, message = '', remedy = '' } = finding ?? {}
  expect(code).toBe('SOURCE_SLOT_LEFT_BEHIND')
  expect(message).toMatch(`Slot "${name}" may be another data folder's`)
  expect(message).toContain(`confirmed up to ${String(made?.['lsn'])}`)
  expect(message).toMatch(postgresVersion >= 17 ? /nobody has read it since 2/ : /now/)
  const look = remedy.indexOf('SELECT active, confirmed_flush_lsn')
  expect(look).toBeGreaterThan(-1)
  expect(remedy.indexOf('pg_drop_replication_slot')).toBeGreaterThan(look)
  await server.sql(remedy)
  expect(await leftSlotFindings(control, 'sluice_gw_0000000b')).toEqual([])
  await control.close()
})
