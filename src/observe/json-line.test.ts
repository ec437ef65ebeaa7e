import { expect, test } from 'vitest'
import { toJsonLine } from './json-line.ts'

test('trap: minus zero keeps its sign, also inside lists and rows', () => {
  expect(toJsonLine({ f: -0, zero: 0, list: [-0, 1.5], row: { f: -0 } })).toBe(
    '{"f":-0.0,"zero":0,"list":[-0.0,1.5],"row":{"f":-0.0}}',
  )
})

test('what has no number of its own is text', () => {
  expect(toJsonLine([2n ** 53n, 7n, NaN, -Infinity, Buffer.from([0, 255])])).toBe(
    '["9007199254740992",7,"NaN","-Infinity","\\\\x00ff"]',
  )
})
