import { expect, test } from 'vitest'
import { insertsNameOf } from './insert-publication.ts'

test('the second publication is called after the first', () => {
  expect(insertsNameOf('mine')).toBe('mine_inserts')
  expect(insertsNameOf('x'.repeat(55))).toBe(`${'x'.repeat(55)}_inserts`)
})

test('trap: long names that begin alike have one each, of no more bytes than a name may have', () => {
  for (const letter of ['x', 'é', '界', '🙂']) {
    const begin = letter.repeat(55 / Buffer.byteLength(letter))
    const names = [`${begin}abcdefg`, `${begin}abcdefh`].map(insertsNameOf)
    expect(new Set(names).size).toBe(2)
    for (const name of names) {
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63)
      expect(name).toMatch(/^.+_[0-9a-f]{8}_inserts$/)
      expect(Buffer.from(name).toString()).toBe(name)
    }
  }
})
