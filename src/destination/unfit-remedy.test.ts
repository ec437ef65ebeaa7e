/** Whoever chooses what becomes of unfit values is told what each choice does, and to how much. */
import { expect, test } from 'vitest'
import { SluiceError } from '../base/errors.ts'
import { unfitPolicies } from '../columnar/unfit-policy.ts'

test('the remedy says of each policy in one line what it does, and that it holds for all tables', () => {
  const lines = new SluiceError('DESTINATION_VALUE_UNFIT', 'x').remedy.split('\n')
  expect(lines[0]).toContain('holds for all its tables')
  for (const policy of unfitPolicies.filter((one) => one !== 'fail')) {
    expect(lines.filter((line) => line.startsWith(`${policy}: `))).toHaveLength(1)
  }
  expect(lines.find((line) => line.startsWith('string: '))).toMatch(/becomes text.*loaded again/)
})
