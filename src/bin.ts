#!/usr/bin/env node
/** The executable: hands the process over to the command line. */
import { readFileSync } from 'node:fs'
import { systemClock } from './base/clock.ts'
import { runCli } from './cli/cli.ts'
import { openProcessTerminals } from './cli/process-terminal.ts'
import { openApp } from './main.ts'

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
