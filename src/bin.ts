#!/usr/bin/env node
/** The executable: hands the process over to the command line. */
import { readFileSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Half of a short command would be compiling. A folder that can not be written to is no error.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/sluice', import.meta.url)))

const { systemClock } = await import('./base/clock.ts')
const { runCli } = await import('./cli/cli.ts')
const { openProcessTerminals } = await import('./cli/process-terminal.ts')
const { openApp } = await import('./main.ts')

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}

const terminals = openProcessTerminals(() => process.exit(1))
const code = await runCli(process.argv.slice(2), {
  ...terminals,
  env: process.env,
  clock: systemClock,
  version: manifest.version,
  openApp,
})
process.exitCode = terminals.isBroken() ? 0 : code
// What is still open now would only keep a finished command alive; writes to a pipe are let out first.
process.stdout.write('', () => process.exit())
