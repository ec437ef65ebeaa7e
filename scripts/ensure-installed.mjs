/**
 * Installs the packages of a fresh checkout before a script that needs them. Runs under whatever
 * Node the machine has, so it is plain JavaScript without dependencies.
 */
import { existsSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
if (!existsSync(new URL('../node_modules/.package-lock.json', import.meta.url))) {
  console.error('First run in this checkout: installing packages (npm ci), about half a minute ...')
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (result.status !== 0) {
    console.error('npm ci failed; run it by hand to see why.')
    process.exit(1)
  }
}
