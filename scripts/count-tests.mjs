/**
 * Sums one run of continuous integration and prints the closing line; exit 1 on any failure.
 *
 * usage: count-tests.mjs <folder>: one folder per step in it, with `outcome` (pass or fail) and, when
 * the step ran tests, `tests/<n>.json` (reports of vitest). Such a step counts as its tests; only a
 * failure that no test shows (an installation, an error outside of any test, no report at all)
 * counts for itself. Every other step counts as one.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2] ?? '.'
let passed = 0
let failed = 0
let skipped = 0

const fail = (what) => {
  failed++
  console.log(`failed: ${what}`)
}

/** How many failures of the report were counted. */
function countReport(report) {
  const before = failed
  passed += report.numPassedTests
  skipped += report.numPendingTests + report.numTodoTests
  for (const file of report.testResults) {
    const failures = file.assertionResults.filter(({ status }) => status === 'failed')
    for (const { fullName } of failures) fail(`${file.name}: ${fullName}`)
    if (file.status === 'failed' && failures.length === 0) fail(`${file.name} as a whole`)
  }
  return failed - before
}

for (const step of readdirSync(folder).sort()) {
  const isPassed = readFileSync(join(folder, step, 'outcome'), 'utf8').trim() === 'pass'
  const reports = join(folder, step, 'tests')
  if (!existsSync(reports)) {
    if (isPassed) passed++
    else fail(`step ${step}`)
    continue
  }
  const names = readdirSync(reports)
  let failures = 0
  for (const name of names) {
    failures += countReport(JSON.parse(readFileSync(join(reports, name), 'utf8')))
  }
  if (names.length === 0) fail(`step ${step}: no tests ran`)
  else if (!isPassed && failures === 0) fail(`step ${step}: see above`)
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
