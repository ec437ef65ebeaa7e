/** The closing line of continuous integration: what it counts, what it names, how it exits. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../scripts/count-tests.mjs', import.meta.url))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-count-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function step(name: string, outcome: 'pass' | 'fail'): void {
  mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(join(folder, name, 'outcome'), `${outcome}\n`)
}

interface TestFile {
  readonly status: 'passed' | 'failed'
  readonly failed?: readonly string[]
}

function lane(
  name: string,
  outcome: 'pass' | 'fail',
  report: {
    readonly passed: number
    readonly skipped?: number
    readonly files?: TestFile[]
  } | null,
): void {
  step(name, outcome)
  mkdirSync(join(folder, name, 'tests'))
  if (report === null) return
  const { passed, skipped = 0, files = [] } = report
  const json = {
    numPassedTests: passed,
    numPendingTests: skipped,
    numTodoTests: 0,
    testResults: files.map(({ status, failed = [] }, n) => ({
      name: `file-${n}`,
      status,
      assertionResults: failed.map((fullName) => ({ status: 'failed', fullName })),
    })),
  }
  writeFileSync(join(folder, name, 'tests', '1.json'), JSON.stringify(json))
}

function count(): { readonly lines: readonly string[]; readonly exitCode: number | null } {
  const { stdout, status } = spawnSync(process.execPath, [script, folder], { encoding: 'utf8' })
  return { lines: stdout.trimEnd().split('\n'), exitCode: status }
}

test('a lane counts as its tests, every other step as one', () => {
  lane('npm-cit', 'pass', { passed: 40, skipped: 2 })
  lane('ci', 'pass', { passed: 3 })
  step('types', 'pass')
  expect(count()).toEqual({ lines: ['44 passed, 0 failed, 2 skipped'], exitCode: 0 })
})

test('a failed test is named, and its lane is not counted once more', () => {
  lane('npm-cit', 'fail', {
    passed: 5,
    files: [{ status: 'passed' }, { status: 'failed', failed: ['a', 'b'] }],
  })
  expect(count()).toEqual({
    lines: ['failed: file-1: a', 'failed: file-1: b', '5 passed, 2 failed'],
    exitCode: 1,
  })
})

test('failures that no test shows count: a step, a file, an error outside of tests, no report', () => {
  step('types', 'fail')
  lane('file', 'fail', { passed: 1, files: [{ status: 'failed' }] })
  lane('outside', 'fail', { passed: 1 })
  lane('silent', 'pass', null)
  expect(count()).toEqual({
    lines: [
      'failed: file-0 as a whole',
      'failed: step outside: see above',
      'failed: step silent: no tests ran',
      'failed: step types',
      '2 passed, 4 failed',
    ],
    exitCode: 1,
  })
})

test('nothing is not a success', () => {
  expect(count()).toEqual({ lines: ['0 passed, 0 failed'], exitCode: 1 })
})
