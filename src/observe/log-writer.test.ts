import { expect, test } from 'vitest'
import { toJsonLine } from './json-line.ts'
import { createHumanLog, createJsonLog } from './log-writer.ts'

function collect(): { lines: string[]; writeLine: (line: string) => void } {
  const lines: string[] = []
  return { lines, writeLine: (line) => void lines.push(line) }
}

const clock = { nowMs: () => Date.UTC(2026, 0, 31, 12) }

test('createJsonLog() writes one JSON object a line, children included', () => {
  const { lines, writeLine } = collect()
  const log = createJsonLog({ writeLine, clock, minimum: 'info' }).child({ gateway: 'g' })
  log.debug('left out')
  // @ts-expect-error a field that would be lost
  log.warn('a\nb', { bytes: 2n ** 63n, message: 'mine', missing: undefined })
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    {
      at: '2026-01-31T12:00:00.000Z',
      level: 'warn',
      message: 'a\nb',
      gateway: 'g',
      bytes: '9223372036854775808',
    },
  ])
})

test('createHumanLog() keeps a message on its line', () => {
  const { lines, writeLine } = collect()
  const log = createHumanLog({ writeLine, clock, minimum: 'debug' })
  log.info('two\nlines \u001b[2J', { table: 'a b', rows: 5, missing: undefined })
  expect(lines).toEqual(['12:00:00 info  two lines  [2J  table="a b"  rows=5'])
})

test.each([
  [
    { a: 5n, b: -(2n ** 53n), c: 2n ** 53n - 1n },
    '{"a":5,"b":"-9007199254740992","c":9007199254740991}',
  ],
  [{ a: new Uint8Array([0, 255]), b: Buffer.from([1]) }, '{"a":"\\\\x00ff","b":"\\\\x01"}'],
  [[Number.NaN, -Infinity, 1.5, null], '["NaN","-Infinity",1.5,null]'],
  [{ nested: [{ x: [1n] }] }, '{"nested":[{"x":[1]}]}'],
])('toJsonLine() loses nothing (%#)', (value, line) => {
  expect(toJsonLine(value)).toBe(line)
})
