import { expect, test } from 'vitest'
import { failedTables } from './failed-tables.ts'

const problem = (code: string): { code: string; message: string; remedy: string } => ({
  code,
  message: 'm',
  remedy: 'r',
})

const name = { schema: 'app', table: 'orders' }
const loaded = { tableId: '7', source: name, destination: 'main.copy.orders' }

function codes(...args: Parameters<typeof failedTables>): readonly string[] {
  return failedTables(...args).map((failed) => `${failed.table} ${failed.problem.code}`)
}

test('what a pipeline says of a table that its gateway gave up is not another table', () => {
  const followed = { tableId: '7', name, problem: problem('SOURCE_PERMISSION_DENIED') }
  const gap = { ...loaded, problem: problem('PIPELINE_TABLE_GAP') }
  const other = { ...gap, tableId: '8', destination: 'main.copy.other' }
  expect(codes([followed], [gap, other])).toEqual([
    'app.orders SOURCE_PERMISSION_DENIED',
    'main.copy.other PIPELINE_TABLE_GAP',
  ])
  expect(codes([], [gap])).toEqual(['main.copy.orders PIPELINE_TABLE_GAP'])
  expect(codes([], [gap], { isStopped: true })).toEqual([])
  expect(codes([{ tableId: '7', name }], [loaded])).toEqual([])
})

test('a table that was loaded and is not found any more is gone, and told once', () => {
  const missing = { tableId: 'app.orders', name, problem: problem('GATEWAY_TABLE_NOT_FOUND') }
  const gone = { ...loaded, problem: problem('GATEWAY_TABLE_GONE') }
  expect(codes([missing], [gone])).toEqual(['main.copy.orders GATEWAY_TABLE_GONE'])
  expect(codes([missing], [])).toEqual(['app.orders GATEWAY_TABLE_NOT_FOUND'])
})
