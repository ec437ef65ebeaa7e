/** Messages that a server does not send: each is a coded error, and none leaves half a row. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { announced, harness, oid, time } from '../../../../test/support/pgoutput-harness.ts'
import * as write from '../../../../test/support/pgoutput-writer.ts'

const { unchanged } = write

const unexpected: Record<string, Buffer[]> = {
  'an unknown type': [Buffer.from('Z')],
  'a stream start, which was not asked for': [Buffer.from('S\0\0\0\x01\x01')],
  'no type at all': [Buffer.alloc(0)],
  'a row outside a transaction': [announced, write.insert(oid, ['1', 'a', null, null])],
  'a row of an unknown relation': [write.begin(1n, time, 1), write.insert(oid, [])],
  'a truncate of an unknown relation': [write.begin(1n, time, 1), write.truncate([77])],
  'a truncate outside a transaction': [announced, write.truncate([oid])],
  'a begin within a transaction': [write.begin(1n, time, 1), write.begin(1n, time, 1)],
  'a commit outside a transaction': [write.commit(1n, 2n, time)],
  'a commit of another transaction': [write.begin(1n, time, 1), write.commit(9n, 10n, time)],
  'a tuple of fewer columns': [write.begin(1n, time, 1), announced, write.insert(oid, ['1'])],
  'a tuple of more columns': [
    write.begin(1n, time, 1),
    announced,
    write.insert(oid, ['1', 'a', null, null, null]),
  ],
  'a cell in binary form': [
    write.begin(1n, time, 1),
    announced,
    write.insert(oid, [{ binary: Buffer.alloc(8) }, 'a', null, null]),
  ],
  'an update with a new tuple nowhere': [
    write.begin(1n, time, 1),
    announced,
    Buffer.concat([
      Buffer.from('U'),
      write.remove(oid, { kind: 'K', cells: ['1', 'a', null, null] }).subarray(1),
    ]),
  ],
}

for (const [name, messages] of Object.entries(unexpected)) {
  test(`trap: ${name} is an error of the protocol, never skipped`, () => {
    const { sink, feed } = harness()
    expect(() => feed(...messages)).toThrow(
      expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
    )
    expect(sink.events.filter(({ kind }) => kind !== 'begin')).toEqual([])
  })
}

const wholeMessages = [
  write.begin(1n, time, 1),
  write.commit(1n, 2n, time),
  announced,
  write.origin('elsewhere'),
  write.typeName(99, 'mood'),
  write.logicalMessage('prefix', Buffer.from('content')),
  write.truncate([oid]),
  write.insert(oid, ['1', 'a', null, '1.00']),
  write.update(oid, ['1', 'a', unchanged, '1.00']),
  write.update(oid, ['2', 'a', 'x'.repeat(300), null], {
    kind: 'K',
    cells: ['1', 'a', null, null],
  }),
  write.remove(oid, { kind: 'K', cells: ['1', 'a', null, null] }),
]

test('every message cut anywhere, or longer than it should be, is an error and leaves no row', () => {
  for (const message of wholeMessages) {
    const isBegin = message[0] === 66
    const lead = isBegin ? [] : [write.begin(1n, time, 1), announced]
    const variants: Buffer[] = [Buffer.concat([message, Buffer.from([0])])]
    for (let length = 0; length < message.length; length++)
      variants.push(message.subarray(0, length))
    for (const variant of variants) {
      const { sink, feed } = harness()
      feed(...lead)
      expect(() => feed(variant)).toThrow(
        expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
      )
      expect(sink.events.length).toBe(isBegin ? 0 : 1)
      expect(sink.openRows()).toBe(0)
    }
  }
})

test('random damage is a coded error or a whole row, never anything else', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...wholeMessages.filter((message) => message !== announced)),
      fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (message, damage) => {
        const bytes = Buffer.from(message)
        for (const [at, value] of damage) bytes[at % bytes.length] = value
        // Announcing another relation is the business of other tests.
        fc.pre(bytes[0] !== 82)
        const { sink, feed } = harness()
        feed(write.begin(1n, time, 1), announced)
        try {
          feed(bytes)
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^SOURCE_(PROTOCOL|VALUE)_/)
          return
        }
        expect(sink.openRows()).toBe(0)
      },
    ),
    { numRuns: 2000 },
  )
})
