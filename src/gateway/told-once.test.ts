/** What goes on being wrong with a table is told once, and then seldom. */
import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'
import { SluiceError } from '../base/errors.ts'
import { createLog } from '../observe/log.ts'
import { FollowedTable } from './followed-table.ts'
import { FollowedTables } from './followed-tables.ts'

function collector() {
  const lines: string[] = []
  const log = createLog((level, message) => void lines.push(`${level} ${message}`), 'warn')
  return { lines, log }
}

test('trap: a table that stays locked is told at once and then with growing pauses, another holder at once', async () => {
  const world = new GatewayWorld([fakeTable('1')])
  const { lines, log } = collector()
  let tries = 0
  const holders = ['1', '2', undefined]
  const end = await world.process({
    mode: 'continuous',
    log,
    atStep({ name, gateway, stop }) {
      const [table] = gateway.status().tables
      if (table?.state === 'streaming') stop()
      if (name !== 'before snapshot' || table?.state !== 'pending') return
      const holder = holders[Math.floor(tries++ / 30)]
      if (holder !== undefined) throw new SluiceError('SOURCE_TABLE_LOCKED', `held by ${holder}`)
    },
  })
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(tries).toBeGreaterThan(60)
  const by = (holder: string): number =>
    lines.filter((line) => line === `warn copy failed, trying again: held by ${holder}`).length
  for (const holder of ['1', '2']) {
    expect(by(holder)).toBeGreaterThan(0)
    expect(by(holder)).toBeLessThan(6)
  }
})

test('a table that is stopped is told once by all runs of a gateway, and anew once it was well', () => {
  const { lines, log } = collector()
  const told = new Map<string, string>()
  const refused = new SluiceError('SOURCE_PERMISSION_DENIED', 'may not read it')
  const runs = [0, 1, 2].map(() => {
    const tables = new FollowedTables({ log, announce: () => undefined, told })
    const table = new FollowedTable(fakeTable('1'))
    tables.add(table)
    return { tables, table }
  })
  for (const { tables, table } of runs) tables.refuse(table, refused)
  expect(lines).toEqual(['error table stopped: may not read it'])
  const [first] = runs
  first?.tables.remedy(first.table)
  first?.tables.refuse(first.table, refused)
  expect(lines).toHaveLength(2)
})

test('a table that is copied anew by itself is no warning: why is said at info, and in its status', () => {
  const lines: string[] = []
  const log = createLog((level, message) => void lines.push(`${level} ${message}`), 'info')
  const tables = new FollowedTables({ log, announce: () => undefined, told: new Map() })
  const table = new FollowedTable(fakeTable('1'), 'streaming')
  tables.add(table)
  tables.gap(table, 'the table has a new schema')
  expect(lines).toEqual(['info table is copied anew: the table has a new schema'])
  expect(table.status()).toMatchObject({ state: 'pending', anew: 'the table has a new schema' })
  tables.refuse(table, new SluiceError('SOURCE_PERMISSION_DENIED', 'may not read it'))
  expect(table.status().anew).toBeUndefined()
})
