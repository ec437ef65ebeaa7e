/** What `check` prints of its findings, and in which order. */
import { expect, test } from 'vitest'
import type { Finding } from '../../source/finding.ts'
import type { App } from '../app.ts'
import { jsonLines, resourceFile, run } from '../fake-app.fixture.ts'

test('check prints every finding with its statement; 1 when one is an error', async () => {
  const finding = {
    severity: 'error',
    subject: 'wal_level',
    message: 'is replica',
    remedy: "ALTER SYSTEM SET wal_level = 'logical';\nSELECT 1;",
  } as const
  const ok = { severity: 'ok', subject: 'version', message: '18' } as const
  const warning = { ...finding, severity: 'warning', table: 'public.t' } as const
  const check = (
    findings: readonly (typeof finding | typeof ok | typeof warning)[],
  ): Partial<App> => ({
    check: async () => [{ gateway: 'gw', findings }],
  })
  const bad = await run(['check', resourceFile()], check([ok, finding, warning]))
  expect(bad.code).toBe(1)
  expect(bad.opened[0]?.catalog).toBe('none')
  expect(bad.stdout).toContain('error    wal_level: is replica\n             ALTER SYSTEM')
  expect(bad.stdout).toContain('warning  public.t wal_level')
  expect((await run(['check', resourceFile()], check([ok, warning]))).code).toBe(0)
})

test('check: what is not met comes last, below the optional script, over all gateways', async () => {
  const script = { severity: 'ok', subject: 'triggers', message: 'may run:', remedy: 'do;\nit;' }
  const findings = [
    { severity: 'error', subject: 'first', message: 'is wrong', remedy: 'MEND 1;' },
    { severity: 'warning', subject: 'second', message: 'is odd', remedy: 'MEND 2;' },
    script,
    { severity: 'ok', subject: 'third', message: 'is good' },
  ] as readonly Finding[]
  const app: Partial<App> = {
    check: async () => [
      { gateway: 'a', findings },
      { gateway: 'b', findings: [script as Finding] },
    ],
  }
  const { stdout } = await run(['check', resourceFile()], app)
  expect(stdout.split('\n').filter((line) => line !== '')).toEqual([
    'gateway a',
    '  ok       third: is good',
    '  ok       triggers: may run:',
    '             do;',
    '             it;',
    '  warning  second: is odd',
    '             MEND 2;',
    'gateway b',
    '  ok       triggers: may run:',
    '             do;',
    '             it;',
    'gateway a',
    '  error    first: is wrong',
    '             MEND 1;',
    '1 requirement not met',
  ])
  const json = jsonLines((await run(['check', resourceFile(), '--output', 'json'], app)).stdout)
  expect(json).toMatchObject([...findings, script, { event: 'checked', errors: 1 }])
})
