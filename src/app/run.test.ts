import { expect, test } from 'vitest'
import { statusBeforeRun } from '../gateway/gateway-run.ts'
import type { TableStatus } from '../gateway/gateway-status.ts'
import { RecoveredLog } from '../staging/recovered-log.ts'
import { progressOf } from './run.ts'
import type { Lane } from './runtime.ts'

const table: TableStatus = {
  tableId: '1',
  name: { schema: 's', table: 't' },
  state: 'streaming',
  snapshotRows: 0,
  estimatedRows: undefined,
  snapshotBytes: 0,
  changes: 0,
}

test('a run that has reached no server is not said to stream', () => {
  const phaseWith = (...tables: readonly TableStatus[]): string => {
    const status = { ...statusBeforeRun({ recovered: new RecoveredLog() }), tables }
    const gateway = { definition: { key: 'gw' }, gateway: { status: () => status } }
    const lane = { gateway, pipelines: [] } as unknown as Lane
    return progressOf({ lanes: [lane] }).phase
  }
  expect(phaseWith()).toBe('looking for tables')
  expect(phaseWith({ ...table, state: 'pending' })).toBe('copying')
  expect(phaseWith(table)).toBe('streaming')
})
