import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Context } from './context.ts'
import type { Lane } from './runtime.ts'
import { answerVerifyRequests } from './verify-request.ts'

test('what a killed process asked for is not compared, and its files do not stay', async () => {
  const dataFolder = await mkdtemp(join(tmpdir(), 'sluice-requests-'))
  const folder = join(dataFolder, 'requests', 'gateway')
  await mkdir(folder, { recursive: true })
  const dead = spawnSync(process.execPath, ['--version']).pid
  for (const name of [
    `${dead}-a.request.json`,
    `${dead}-b.reply.json`,
    `${process.pid}-c.reply.json`,
  ]) {
    await writeFile(join(folder, name), '{}')
  }
  const lane = { gateway: { definition: { id: 'gateway' } } } as unknown as Lane
  const stop = new AbortController()
  const answer = answerVerifyRequests({ dataFolder } as Context, lane, {
    signal: stop.signal,
    pause: () => expect.fail('it stands still for nobody'),
  })
  setTimeout(() => stop.abort(), 50)
  expect(await answer).toBeUndefined()
  expect(await readdir(folder)).toEqual([`${process.pid}-c.reply.json`])
  await rm(dataFolder, { recursive: true })
})
