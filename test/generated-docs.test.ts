/** The pages that are made from the code say what the code says. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { generatedPages } from '../scripts/generate-docs.ts'

for (const { path, text } of generatedPages()) {
  test(`${path} is up to date`, () => {
    const file = new URL(`../${path}`, import.meta.url)
    const isCurrent = existsSync(file) && readFileSync(file, 'utf8') === text
    expect(isCurrent, `run: node scripts/generate-docs.ts, and commit ${path}`).toBe(true)
  })
}
