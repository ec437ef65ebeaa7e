/** Sums vitest JSON reports and step files of one CI run; prints the closing line; exit 1 on any failure. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2] ?? '.'
let passed = 0
let failed = 0
let skipped = 0
for (const name of readdirSync(folder).sort()) {
  const text = readFileSync(join(folder, name), 'utf8')
  if (name.startsWith('step-')) {
    if (text.trim() === 'pass') passed++
    else {
      failed++
      console.log(`failed step: ${name.slice('step-'.length)}`)
    }
  } else if (name.endsWith('.json')) {
    const report = JSON.parse(text)
    passed += report.numPassedTests
    failed += report.numFailedTests
    skipped += report.numPendingTests + report.numTodoTests
    for (const file of report.testResults) {
      if (file.status === 'failed' && file.assertionResults.length === 0) failed++
      for (const result of file.assertionResults) {
        if (result.status === 'failed') console.log(`failed test: ${file.name}: ${result.fullName}`)
      }
    }
  }
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
