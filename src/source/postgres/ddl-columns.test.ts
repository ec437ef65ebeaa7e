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

function column(sourceType: string, kind: 'string' | 'int32' | 'int64'): TableSchema {
  return { columns: [{ name: 'c', type: { kind }, sourceType, nullable: true, id: '2' }], key: [] }
}

test.each<[string, string, 'string' | 'int32', 'string' | 'int64']>([
  ['integer', 'oid', 'int32', 'int64'],
  ['cidr', 'inet', 'string', 'string'],
  ['character varying(9)', 'bit varying(9)', 'string', 'string'],
])('trap: %s → %s writes no row anew, and its values have other texts', (from, to, a, b) => {
  expect(stepProblem(column(from, a), column(to, b))).toBe(`column "c" was ${from} and is ${to}`)
})

test('texts that only may be longer keep their values', () => {
  const before = column('character varying(9)', 'string')
  expect(stepProblem(before, column('character varying(20)', 'string'))).toBe(undefined)
  expect(stepProblem(before, column('text', 'string'))).toBe(undefined)
})
