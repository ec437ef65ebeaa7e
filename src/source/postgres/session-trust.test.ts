import { expect, test } from 'vitest'
import type { Lsn } from './lsn.ts'
import { SessionTrust } from './session-trust.ts'

const at = (lsn: bigint): Lsn => lsn as Lsn

test('a table is trusted by a session that begins after its older transactions have ended', () => {
  const trust = new SessionTrust()
  trust.begin(at(100n))
  expect(trust.of('a', 7n)).toBe('open')
  expect(trust.renewAfter).toBeUndefined()
  trust.settle('a', 7n, at(150n))
  // Without being asked: what wakes the stream is written next, and comes only once.
  expect(trust.renewAfter).toBe(150n)
  expect(trust.of('a', 7n)).toBe('renewing')
  trust.begin(at(140n))
  expect(trust.of('a', 7n)).toBe('renewing')
  trust.begin(at(150n))
  expect(trust.of('a', 7n)).toBe('trusted')
  expect(trust.renewAfter).toBeUndefined()
})

test('another place in the publication has to be settled anew, and the first answer counts', () => {
  const trust = new SessionTrust()
  trust.begin(at(100n))
  trust.settle('a', 7n, at(90n))
  trust.settle('a', 7n, at(900n))
  expect(trust.of('a', 7n)).toBe('trusted')
  expect(trust.of('a', 8n)).toBe('open')
  trust.settle('a', 8n, at(200n))
  trust.settle('b', 8n, at(300n))
  expect([trust.of('b', 8n), trust.of('a', 8n)]).toEqual(['renewing', 'renewing'])
  expect(trust.renewAfter).toBe(300n)
})
