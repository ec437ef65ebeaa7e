import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startEmbeddedPostgres } from './embedded-postgres.ts'

test('startEmbeddedPostgres() serves, survives a crash and keeps committed rows', async () => {
  const server = await startEmbeddedPostgres()
  try {
    await server.sql('create table t (a int); insert into t values (1)')
    await server.crash()
    await server.start()
    expect(await server.sql('select a from t')).toEqual([{ a: 1 }])
  } finally {
    await server.stop()
  }
})

test('a server that cannot start leaves nothing behind', async () => {
  const leftovers = (): number =>
    readdirSync(tmpdir()).filter((name) => name.startsWith('sluice-pg-')).length
  const folder = mkdtempSync(join(tmpdir(), 'sluice-broken-'))
  process.env['TMPDIR'] = folder
  try {
    chmodSync(folder, 0o755)
    const settings = { shared_buffers: 'no number' }
    await expect(startEmbeddedPostgres({ settings })).rejects.toThrow('ended while it was starting')
    expect(leftovers()).toBe(0)
  } finally {
    delete process.env['TMPDIR']
    rmSync(folder, { recursive: true })
  }
})

test('a process that ends at once takes its server with it', async () => {
  const module = new URL('embedded-postgres.ts', import.meta.url)
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(module.href)}
    const { folder } = await startEmbeddedPostgres()
    process.stdout.write(folder + '\\n')
    process.stdin.once('data', () => process.exit(1))`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const folder = line.toString().trim()
  const pid = readFileSync(join(folder, 'data', 'postmaster.pid'), 'utf8').split('\n', 1)[0] ?? ''
  expect(spawnSync('kill', ['-0', pid]).status).toBe(0)
  child.stdin.write('end\n')
  expect(await once(child, 'exit')).toEqual([1, null])
  expect(existsSync(folder)).toBe(false)
  expect(spawnSync('ps', ['-o', 'stat=', '-p', pid], { encoding: 'utf8' }).stdout).not.toMatch(
    /^[^Z]/,
  )
})

test('a process that ends while its server is made leaves nothing behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-early-'))
  try {
    chmodSync(folder, 0o755)
    const module = new URL('embedded-postgres.ts', import.meta.url)
    const script = `
      import { readdirSync } from 'node:fs'
      import { startEmbeddedPostgres } from ${JSON.stringify(module.href)}
      void startEmbeddedPostgres()
      const look = () => readdirSync('.', { recursive: true }).some((name) => name.endsWith('global'))
      setInterval(() => { if (look()) process.exit(1) }, 1)`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: folder,
      env: { ...process.env, TMPDIR: folder },
      stdio: 'inherit',
    })
    expect(await once(child, 'exit')).toEqual([1, null])
    expect(readdirSync(folder)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
