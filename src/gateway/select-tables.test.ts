import { expect, test } from 'vitest'
import type { Finding } from '../source/finding.ts'
import { refusals } from './select-tables.ts'

const finding: Finding = {
  severity: 'error',
  code: 'SOURCE_PERMISSION_DENIED',
  subject: 'privileges',
  message: 'may not read 2 of 3 tables',
  remedy: 'GRANT',
}

test('a finding about several tables refuses each of them, and nothing else', () => {
  const others: Finding = { ...finding, code: 'SOURCE_TABLE_WITHOUT_KEY', table: 'a.one' }
  const refused = refusals([
    { ...finding, tables: ['a.one', 'a.two'] },
    others,
    { ...others, table: 'a.three' },
  ])
  expect([...refused].map(([table, { code, remedy }]) => [table, code, remedy])).toEqual([
    ['a.one', 'SOURCE_PERMISSION_DENIED', 'GRANT'],
    ['a.two', 'SOURCE_PERMISSION_DENIED', 'GRANT'],
    ['a.three', 'SOURCE_TABLE_WITHOUT_KEY', 'GRANT'],
  ])
})

test('a finding about no table at all stops everything', () => {
  expect(() => refusals([finding])).toThrow(
    expect.objectContaining({ code: 'SOURCE_PERMISSION_DENIED' }),
  )
})

test('trap: a finding that waits for a person is not tried again, whatever its code says', () => {
  const taken: Finding = { ...finding, code: 'SOURCE_SLOT_TAKEN' }
  expect(() => refusals([taken])).toThrow(expect.objectContaining({ retry: 'backoff' }))
  expect(() => refusals([{ ...taken, retry: 'after-remedy' }])).toThrow(
    expect.objectContaining({ retry: 'after-remedy' }),
  )
})

test('whoever makes a publication is told to add its tables too; statements of other kinds stay apart', () => {
  const missing: Finding = {
    ...finding,
    code: 'SOURCE_PUBLICATION_MISSING',
    subject: 'publication',
    remedy: 'CREATE PUBLICATION p;',
  }
  const incomplete: Finding = {
    ...finding,
    code: 'SOURCE_PUBLICATION_INCOMPLETE',
    tables: ['a.one', 'a.two'],
    remedy: 'ALTER PUBLICATION p ADD TABLE a.one, a.two;',
  }
  const level: Finding = { ...finding, code: 'SOURCE_WAL_LEVEL', remedy: 'ALTER SYSTEM;' }
  const keyless: Finding = { ...finding, code: 'SOURCE_TABLE_WITHOUT_KEY', table: 'a.three' }
  expect(() => refusals([missing, incomplete, keyless, level])).toThrow(
    expect.objectContaining({
      code: 'SOURCE_PUBLICATION_MISSING',
      remedy: 'CREATE PUBLICATION p;\nALTER PUBLICATION p ADD TABLE a.one, a.two;',
    }),
  )
  // Some of them can not be run together with others.
  expect(() => refusals([level, missing, incomplete])).toThrow(
    expect.objectContaining({ code: 'SOURCE_WAL_LEVEL', remedy: 'ALTER SYSTEM;' }),
  )
})
