import { expect, test } from 'vitest'
import { PasswordRefusals } from './password-refusals.ts'

const minuteMs = 60_000

function at(isReadAnew: boolean): {
  readonly refusals: PasswordRefusals
  readonly pass: (minutes: number) => void
} {
  let nowMs = 0
  const refusals = new PasswordRefusals(isReadAnew, { elapsedMs: () => nowMs })
  return { refusals, pass: (minutes) => (nowMs += minutes * minuteMs) }
}

test('a password that stays the same is not worth another try', () => {
  expect(at(false).refusals.refused()).toBe(false)
})

test('one that is read anew is tried for five minutes, then needs a person', () => {
  const { refusals, pass } = at(true)
  for (let minute = 0; minute <= 5; minute++) {
    expect(refusals.refused()).toBe(true)
    pass(1)
  }
  expect(refusals.refused()).toBe(false)
  pass(1)
  expect(refusals.refused()).toBe(false)
})

test('one that was accepted meanwhile, or not tried for long, has its time again', () => {
  const { refusals, pass } = at(true)
  refusals.refused()
  pass(4)
  refusals.accepted()
  pass(4)
  expect(refusals.refused()).toBe(true)
  pass(10)
  expect(refusals.refused()).toBe(true)
  pass(4)
  expect(refusals.refused()).toBe(true)
})
