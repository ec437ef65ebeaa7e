import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameBuffer } from './frame-buffer.ts'

interface Message {
  readonly type: number
  readonly content: Buffer
}

function encode({ type, content }: Message): Buffer {
  const head = Buffer.alloc(5)
  head[0] = type
  head.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([head, content])
}

function drain(frames: FrameBuffer): Message[] {
  const messages: Message[] = []
  while (frames.next()) {
    const content = Buffer.from(frames.bytes.subarray(frames.contentStart, frames.contentEnd))
    messages.push({ type: frames.type, content })
  }
  return messages
}

const messages: Message[] = [
  { type: 0x5a, content: Buffer.from('I') },
  { type: 0x64, content: Buffer.alloc(0) },
  { type: 0x64, content: Buffer.from('1\t2\t\\N\n') },
]

test('FrameBuffer gives the same messages wherever the bytes are split', () => {
  const stream = Buffer.concat(messages.map(encode))
  for (let split = 0; split <= stream.length; split++) {
    const frames = new FrameBuffer()
    frames.append(stream.subarray(0, split))
    const first = drain(frames)
    frames.append(stream.subarray(split))
    expect([...first, ...drain(frames)]).toEqual(messages)
    expect(frames.pendingBytes).toBe(0)
  }
})

test('FrameBuffer keeps messages whole over moves and growth, by both ways of filling', () => {
  const size = fc.oneof(fc.nat(40), fc.integer({ min: 200_000, max: 900_000 }))
  const message = fc
    .record({ type: fc.integer({ min: 0, max: 255 }), size, fill: fc.nat(255) })
    .map(({ type, size: bytes, fill }) => ({ type, content: Buffer.alloc(bytes, fill) }))
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 6 }),
      fc.integer({ min: 1, max: 300_000 }),
      fc.boolean(),
      (sent, step, direct) => {
        const stream = Buffer.concat(sent.map(encode))
        const frames = new FrameBuffer()
        const got: Message[] = []
        for (let at = 0; at < stream.length; at += step) {
          const chunk = stream.subarray(at, at + step)
          if (direct) {
            for (let from = 0; from < chunk.length;) {
              const room = frames.writable()
              const count = chunk.copy(room, 0, from)
              frames.wrote(count)
              from += count
              got.push(...drain(frames))
            }
          } else {
            frames.append(chunk)
            got.push(...drain(frames))
          }
        }
        expect(got.length).toBe(sent.length)
        for (const [i, one] of got.entries()) {
          expect(one.type).toBe(sent[i]?.type)
          expect(one.content.equals(sent[i]?.content ?? Buffer.alloc(0))).toBe(true)
        }
      },
    ),
    { numRuns: 15 },
  )
})

test.each([0, 3, -1, -2147483648, 0x7fffffff])('FrameBuffer refuses a length of %i', (length) => {
  const frames = new FrameBuffer()
  const head = Buffer.alloc(5)
  head.writeInt32BE(length, 1)
  frames.append(head)
  expect(() => frames.next()).toThrow(
    expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
  )
})
