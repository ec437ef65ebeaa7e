import { expect, test } from 'vitest'
import type { TableSchema } from '../table-schema.ts'
import { stepProblem } from './ddl-columns.ts'

function money(scale: number): TableSchema {
  const type = { kind: 'decimal', precision: 19, scale } as const
  return { columns: [{ name: 'm', type, sourceType: 'money', nullable: true, id: '2' }], key: [] }
}

test('trap: lc_monetary moves the point of every amount, and the type keeps its name', () => {
  expect(stepProblem(money(2), money(0))).toContain('"m" is money with other values')
  expect(stepProblem(money(2), money(2))).toBe(undefined)
})

test('trap: without a key, whole rows and inserts alone are not told apart by any column', () => {
  const base = money(2)
  const known = { ...base, identity: 'full-row' } as const
  expect(stepProblem(known, { ...base, identity: 'insert-only' })).toContain('told apart')
  expect(stepProblem(known, known)).toBe(undefined)
})
