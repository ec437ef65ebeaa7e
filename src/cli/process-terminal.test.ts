import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const module = fileURLToPath(new URL('process-terminal.ts', import.meta.url))

/** A program that opens the terminals and then does `body`. */
function program(body: string, echoMs = 0): string[] {
  return [
    '--input-type=module-typescript',
    '-e',
    `import { openProcessTerminals } from ${JSON.stringify(module)}
     const terminals = openProcessTerminals(() => process.exit(7), ${echoMs})
     ${body}`,
  ]
}

test('a reader that goes away is no error: the work is stopped, later writes are dropped', async () => {
  const child = spawn(
    process.execPath,
    program(`
      terminals.signal.addEventListener('abort', () => {
        terminals.stdout.write('dropped')
        process.exit(terminals.isBroken() ? 0 : 1)
      })
      setInterval(() => terminals.stdout.write('x'.repeat(100000)), 1)`),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect(await once(child, 'exit')).toEqual([0, null])
})

test('the first signal asks to stop, the second one ends at once', async () => {
  const child = spawn(
    process.execPath,
    program(`
      terminals.signal.addEventListener('abort', () => terminals.stdout.write('stopping'))
      setInterval(() => undefined, 1000)
      terminals.stdout.write('ready')`),
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const said: string[] = []
  child.stdout.on('data', (data: Buffer) => {
    said.push(data.toString())
    child.kill(said.length === 1 ? 'SIGINT' : 'SIGTERM')
  })
  expect(await once(child, 'exit')).toEqual([7, null])
  expect(said).toEqual(['ready', 'stopping'])
})

test('a signal that arrives twice at once is one', async () => {
  const body = `
    let signals = 0
    for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => ++signals === 2 && process.exit(3))
    setInterval(() => undefined, 1000)
    terminals.stdout.write('ready')`
  const child = spawn(process.execPath, program(body, 60_000), {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGINT')
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([3, null])
})

test('a pipe is no terminal', () => {
  const { stdout } = spawnSync(
    process.execPath,
    program(`terminals.stdout.write(JSON.stringify([terminals.stdout.isTty, terminals.stdout.columns ?? null]))
      process.exit()`),
    { encoding: 'utf8' },
  )
  expect(stdout).toBe('[false,null]')
})
