import { expect, test } from 'vitest'
import type { LogFields } from '../observe/log.ts'
import { createLog } from '../observe/log.ts'
import { spelledLog, spelledProgress } from './remedy.ts'

const place = { dataFolder: '/data folder', env: {} }
const remedy = 'Run: sluice refresh TABLE --full'
const spelledFor = (table: string): string =>
  `Run: sluice refresh ${table} --full --data '/data folder'`

test('the remedy in a line of the log can be run', () => {
  const lines: LogFields[] = []
  const log = spelledLog(
    place,
    createLog((_level, _message, fields) => lines.push(fields)),
  )
  log.child({ pipeline: 'p' }).error('a', { table: 'main.shop.t', remedy })
  log.warn('b', { table: 'public.t', remedy })
  log.warn('c', { table: 'public.t' })
  expect(lines).toEqual([
    { pipeline: 'p', table: 'main.shop.t', remedy: spelledFor('main.shop.t') },
    { table: 'public.t', remedy: spelledFor('TABLE') },
    { table: 'public.t' },
  ])
})

test('so can those of what is told of running work', () => {
  const problem = { code: 'C', message: 'm', remedy }
  const counts = { rowsLoaded: 0, inserts: 0, updates: 0, deletes: 0 }
  const table = { tableId: '1', appliedCommit: undefined, version: undefined, ...counts }
  const tables = [
    { ...table, destination: 'main.shop.t', problem },
    { ...table, destination: 'main.shop.u' },
  ]
  const status = { tables, freshness: undefined, updates: 0 }
  const progress = { phase: 'p', gateways: [], pipelines: [{ name: 'p', status }] }
  const shown = spelledProgress(place, progress).pipelines[0]?.status.tables
  expect(shown?.map((one) => one.problem?.remedy)).toEqual([spelledFor('main.shop.t'), undefined])
})
