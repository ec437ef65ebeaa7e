import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { noFailpoints } from '../../base/failpoint.ts'
import { RolledBackRelations } from './spool-relations.ts'
import { XidSet } from './spool-xids.ts'
import {
  prepareSpoolFolder,
  SpooledTransactions,
  type SpooledTarget,
} from './spooled-transactions.ts'
import { protocolVersion, startOptions } from './start-options.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-spool-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const uint64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
const start = (xid: number, first: boolean): Buffer =>
  Buffer.concat([Buffer.from('S'), uint32(xid), Buffer.from([first ? 1 : 0])])
const stop = Buffer.from('E')
const commit = (xid: number): Buffer =>
  Buffer.concat([Buffer.from('c'), uint32(xid), Buffer.of(0), uint64(7n), uint64(8n), uint64(9n)])
const abort = (xid: number, sub: number, parallel = false): Buffer =>
  Buffer.concat([Buffer.from('A'), uint32(xid), uint32(sub), Buffer.alloc(parallel ? 16 : 0)])
const insert = (sub: number, body: string | Buffer): Buffer =>
  Buffer.concat([Buffer.from('I'), uint32(sub), Buffer.from(body)])
const relation = (sub: number, oid: number): Buffer =>
  Buffer.concat([Buffer.from('R'), uint32(sub), uint32(oid)])

interface Course {
  readonly spooled: SpooledTransactions
  /** Messages handed on, `|` between them, as latin1. */
  readonly delivered: Buffer[]
  readonly relations: Buffer[]
  readonly target: { isDone: boolean }
  feed(...messages: readonly Buffer[]): Promise<void>
}

function course(maxBytes = 2 ** 30, delivers: (message: Buffer) => void = () => undefined): Course {
  const delivered: Buffer[] = []
  const relations: Buffer[] = []
  const target: SpooledTarget & { isDone: boolean } = {
    isDone: false,
    message: (bytes, from, to) => {
      const message = Buffer.from(bytes.subarray(from, to))
      delivered.push(message)
      delivers(message)
      return undefined
    },
    rolledBackRelation: (bytes, from, to) => relations.push(Buffer.from(bytes.subarray(from, to))),
    pressure: () => undefined,
  }
  const spooled = new SpooledTransactions({ folder, maxBytes }, target, noFailpoints)
  const feed = async (...messages: readonly Buffer[]): Promise<void> => {
    for (const message of messages) {
      // As on the wire, between other bytes.
      const bytes = Buffer.concat([Buffer.from('head'), message, Buffer.from('tail')])
      await spooled.message(bytes, 4, 4 + message.length)
    }
  }
  return { spooled, delivered, relations, target, feed }
}

const bodies = ({ delivered }: Course): string[] =>
  delivered.filter((message) => message[0] === 73).map((message) => message.toString('latin1', 1))

describe('SpooledTransactions', () => {
  test('hands a transaction on at its commit, between a begin and a commit of protocol 1', async () => {
    const one = course()
    await one.feed(start(5, true), insert(5, 'a'), stop)
    expect(one.delivered).toEqual([])
    await one.feed(start(5, false), insert(6, 'b'), stop, commit(5))
    expect(one.delivered).toEqual([
      Buffer.concat([Buffer.from('B'), uint64(7n), uint64(9n), uint32(5)]),
      Buffer.from('Ia'),
      Buffer.from('Ib'),
      Buffer.concat([Buffer.from('C'), Buffer.of(0), uint64(7n), uint64(8n), uint64(9n)]),
    ])
    expect(readdirSync(folder)).toEqual([])
    expect(one.spooled.count).toBe(0)
  })

  test('leaves out aborted subtransactions, in both forms of the message, and aborted transactions', async () => {
    const one = course()
    await one.feed(start(5, true), insert(5, 'a'), relation(6, 77), insert(6, 'b'), stop)
    await one.feed(start(9, true), insert(9, 'z'), stop, abort(5, 6))
    await one.feed(start(5, false), insert(7, 'c'), insert(8, 'd'), stop, abort(5, 7, true))
    await one.feed(abort(9, 9), abort(400, 400), commit(5))
    expect(bodies(one)).toEqual(['a', 'd'])
    expect(one.relations.map((message) => message.readUInt32BE(1))).toEqual([77])
    expect(readdirSync(folder)).toEqual([])
  })

  test('keeps messages of any size and number whole and in order', async () => {
    const one = course()
    const sizes = [0, 1, 600_000, 3, 524_288, 524_279, 524_280, 100, 2_000_000]
    const messages = sizes.map((size, index) => insert(5, Buffer.alloc(size, 65 + index)))
    const many = Array.from({ length: 30_000 }, (_, index) => insert(5, `row ${index}`))
    await one.feed(start(5, true), ...messages, ...many, stop, commit(5))
    const expected = [...messages, ...many].map((message) => message.subarray(5))
    const seen = one.delivered.slice(1, -1).map((message) => message.subarray(1))
    expect(seen.length).toBe(expected.length)
    expect(seen.every((message, index) => message.equals(expected[index] as Buffer))).toBe(true)
  })

  test('begins anew under an id that came round again', async () => {
    const one = course()
    await one.feed(start(5, true), insert(5, 'old'), stop)
    await one.feed(start(5, true), insert(5, 'new'), stop, commit(5))
    expect(bodies(one)).toEqual(['new'])
  })

  test('refuses what the protocol does not allow', async () => {
    const wrong: readonly (readonly Buffer[])[] = [
      [commit(5)],
      [stop],
      [start(5, false)],
      [start(5, true), start(6, true)],
      [start(5, true), Buffer.from('B')],
      [start(5, true), Buffer.from('I12')],
      [Buffer.from('S12')],
      [Buffer.concat([commit(5), Buffer.of(1)])],
      [abort(5, 6).subarray(0, 7)],
      [Buffer.concat([abort(5, 6), Buffer.alloc(8)])],
    ]
    for (const messages of wrong) {
      const rejected = expect((async () => await course().feed(...messages))()).rejects
      await rejected.toMatchObject({ code: 'SOURCE_PROTOCOL_UNEXPECTED' })
    }
  })

  test('more than its room is SOURCE_SPOOL_FULL, and room is given back', async () => {
    const one = course(100_000)
    for (let xid = 1; xid < 20; xid++) {
      await one.feed(start(xid, true), insert(xid, Buffer.alloc(60_000)), stop)
      await one.feed(xid % 2 === 0 ? commit(xid) : abort(xid, xid))
    }
    await one.feed(start(20, true), insert(20, Buffer.alloc(60_000)), stop)
    await expect(
      (async () => await one.feed(start(21, true), insert(21, Buffer.alloc(60_000)), stop))(),
    ).rejects.toMatchObject({ code: 'SOURCE_SPOOL_FULL' })
    await one.spooled.close()
    expect(readdirSync(folder)).toEqual([])
  })

  test('a folder that cannot be written is SOURCE_SPOOL_FAILED', async () => {
    rmSync(folder, { recursive: true })
    writeFileSync(folder, 'a file')
    await expect(prepareSpoolFolder(join(folder, 'spool'))).rejects.toMatchObject({
      code: 'SOURCE_SPOOL_FAILED',
    })
    const one = course()
    await one.feed(start(5, true), insert(5, 'a'), stop)
    await expect(one.feed(commit(5))).rejects.toMatchObject({ code: 'SOURCE_SPOOL_FAILED' })
  })

  test('what a killed process left behind is removed, and nothing else', async () => {
    writeFileSync(join(folder, 'left.spool'), 'x')
    writeFileSync(join(folder, 'other'), 'x')
    await prepareSpoolFolder(folder)
    expect(readdirSync(folder)).toEqual(['other'])
  })

  test('delivers nothing after the stream has ended', async () => {
    const one = course()
    await one.feed(start(5, true), insert(5, 'a'), insert(5, 'b'), stop)
    one.target.isDone = true
    await one.feed(commit(5))
    expect(one.delivered).toEqual([])
  })

  test('delivers nothing more once the stream ends in the middle of a transaction', async () => {
    const one = course(undefined, (message) => (one.target.isDone = message.includes('a')))
    await one.feed(start(5, true), insert(5, 'a'), insert(5, 'b'), stop)
    await one.feed(commit(5))
    expect(one.delivered.map((message) => message.toString('latin1', 0, 1))).toEqual(['B', 'I'])
  })
})

describe('RolledBackRelations', () => {
  const row = (oid: number): Buffer => Buffer.concat([Buffer.from('I'), uint32(oid)])
  const announced = (oid: number): Buffer => Buffer.concat([Buffer.from('R'), uint32(oid)])
  const take = (known: RolledBackRelations, message: Buffer): readonly string[] =>
    known.takeFor(message, 0, message.length).map((one) => one.toString('latin1', 0, 1))

  test('an announcement counts once, before the first row, with its types', () => {
    const known = new RolledBackRelations()
    for (const message of [Buffer.from('Y1'), announced(7)]) known.keep(message, 0, message.length)
    expect(take(known, row(8))).toEqual([])
    expect(take(known, row(7))).toEqual(['Y', 'R'])
    expect(take(known, row(7))).toEqual([])
    expect(known.isEmpty).toBe(true)
  })

  test('a later announcement replaces it, and a truncate needs it', () => {
    const known = new RolledBackRelations()
    for (const oid of [7, 8, 9]) known.keep(announced(oid), 0, 5)
    expect(take(known, announced(7))).toEqual([])
    expect(take(known, row(7))).toEqual([])
    const truncate = Buffer.concat([
      Buffer.from('T'),
      uint32(2),
      Buffer.of(0),
      uint32(9),
      uint32(7),
    ])
    expect(take(known, truncate)).toEqual(['R'])
    expect(take(known, row(8))).toEqual(['R'])
  })
})

test('XidSet holds exactly what was added, at both ends of the range', () => {
  const xids = new XidSet()
  expect(xids.isEmpty).toBe(true)
  const added = [0, 3, 32_767, 32_768, 2 ** 31, 2 ** 32 - 1]
  for (const xid of added) xids.add(xid)
  for (const xid of added) expect(xids.has(xid)).toBe(true)
  for (const xid of [1, 2, 4, 32_766, 32_769, 2 ** 31 + 1, 2 ** 32 - 2]) {
    expect(xids.has(xid)).toBe(false)
  }
})

test('the protocol is the newest that the server knows, and streaming is asked of it from 14 on', () => {
  expect([130_000, 140_005, 150_000, 160_001, 180_004].map(protocolVersion)).toEqual([
    1, 2, 3, 4, 4,
  ])
  const asked = { publicationNames: [`a"b'c`], withStreaming: true }
  expect(startOptions({ ...asked, serverVersion: 130_000 })).toBe(
    `(proto_version '1', publication_names '"a""b''c"')`,
  )
  expect(startOptions({ ...asked, serverVersion: 150_000 })).toBe(
    `(proto_version '3', publication_names '"a""b''c"', streaming 'on')`,
  )
  expect(startOptions({ ...asked, withStreaming: false, serverVersion: 180_000 })).toBe(
    `(proto_version '4', publication_names '"a""b''c"')`,
  )
  const heard = { ...asked, withStreaming: false, withMessages: true }
  expect(startOptions({ ...heard, serverVersion: 140_000 })).toContain(`, messages 'true')`)
  expect(startOptions({ ...heard, serverVersion: 130_000 })).not.toContain('messages')
})
