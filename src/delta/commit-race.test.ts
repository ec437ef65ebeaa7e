/** Several processes commit to one table on a disk, and some of them are killed in between. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { createLocalStorage } from '../storage/local-storage.ts'
import { removeStaleTemporaries } from '../storage/durable-file.ts'
import { openDeltaTable } from './open-delta-table.ts'
import { standardTable } from './standard-table.ts'

const committer = fileURLToPath(new URL('../../test/support/delta-committer.ts', import.meta.url))

interface Ended {
  readonly acknowledged: readonly string[]
  readonly killed: boolean
}

function runCommitter(...given: string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [committer, ...given], (error, stdout, stderr) => {
      const acknowledged = stdout.split('\n').filter((line) => line !== '')
      if (error === null || error.signal === 'SIGKILL') {
        resolve({ acknowledged, killed: error !== null })
      } else reject(new Error(stderr, { cause: error }))
    })
  })
}

test('what was acknowledged is in the table exactly once, whoever was killed where', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-commit-race-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const storage = createLocalStorage(folder)
  const open = (): ReturnType<typeof openDeltaTable> => openDeltaTable({ storage, root: 'lake/t' })
  const columns = [{ name: 'id', type: { kind: 'int64' } }] as const
  const { protocol, metadata } = standardTable({ columns, createdAtMs: 0 })
  await open().commit(undefined, [{ protocol }, { metaData: metadata }])

  const run = (writer: string, ...failpoint: string[]): Promise<Ended> =>
    runCommitter(folder, 'lake/t', writer, '20', ...failpoint)
  const ended = await Promise.all([
    run('a'),
    run('b'),
    run('c', 'delta.commit-linked:7'),
    run('d', 'delta.checkpoint-written'),
  ])
  expect(ended.map(({ killed }) => killed)).toEqual([false, false, true, expect.any(Boolean)])

  const snapshot = await open().snapshot()
  const live = [...(snapshot?.files.keys() ?? [])]
  const acknowledged = ended.flatMap((one) => one.acknowledged)
  expect(new Set(acknowledged).size).toBe(acknowledged.length)
  expect(live).toEqual(expect.arrayContaining(acknowledged))
  // Only the one commit after which a process died before it could say so is there besides.
  expect(live.length - acknowledged.length).toBe(ended[3].killed ? 1 : 0)
  expect(snapshot?.version).toBe(BigInt(live.length))

  // The one killed before its link left a temporary that nobody sees.
  expect(await removeStaleTemporaries(folder, -60_000)).toBe(1)
  expect((await open().snapshot())?.version).toBe(snapshot?.version)
  for await (const { path } of storage.list('lake/t/_delta_log/')) {
    if (path.includes('checkpoint')) await storage.delete(path)
  }
  expect((await open().snapshot())?.files.size).toBe(live.length)
})
