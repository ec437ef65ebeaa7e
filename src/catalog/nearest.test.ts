import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, nearest } from './nearest.ts'

test.each([
  ['', '', 0],
  ['a', '', 1],
  ['kitten', 'sitting', 3],
  ['abcd', 'abdc', 1],
  ['exclude', 'exlcude', 1],
])('editDistance(%j, %j) is %i', (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance)
})

test.each([
  ['connection_typ', 'connection_type'],
  ['connectionType', 'connection_type'],
  ['sheme', 'schema'],
  ['pasword', 'password'],
  ['user_name', 'user'],
])('nearest(%j) is %j', (word, wanted) => {
  const known = ['connection_type', 'schema', 'password', 'user', 'host']
  expect(nearest(word, known)).toBe(wanted)
})

test('nearest() gives no hint when nothing is near', () => {
  expect(nearest('zzzzzz', ['host', 'port'])).toBeUndefined()
  expect(nearest('x', [])).toBeUndefined()
})

test('editDistance() is symmetric and zero only for equal words', () => {
  const word = fc.string({ maxLength: 8 })
  fc.assert(
    fc.property(word, word, (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a))
      expect(editDistance(a, b) === 0).toBe(a === b)
    }),
  )
})
