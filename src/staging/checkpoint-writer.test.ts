/** Writing checkpoints is in nobody's way. */
import { describe, expect, test } from 'vitest'
import { draftOf, openTestLog, type TestLog } from '../../test/support/staging-fixtures.ts'
import { createLog } from '../observe/log.ts'
import { createFaultyStorage } from '../storage/faulty-storage.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { readCheckpoint } from './checkpoint.ts'
import { checkpointPath } from './layout.ts'
import { emptyLogBase } from './log-base.ts'
import { readLog } from '../../test/support/read-log.ts'
import { RecoveredLog } from './recovered-log.ts'

async function publish(log: TestLog, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await log.publish(draftOf([], `${log.epoch}/${log.manifests.length}`))
  }
}

/** Newest commit of the checkpoint that a reader would go on from. */
async function checkpointOf(storage: ObjectStorage): Promise<number | undefined> {
  return (await readCheckpoint(storage, emptyLogBase))?.checkpoint.commit
}

/** A storage whose writes of checkpoints end when they are let. */
function slowCheckpoints(inner: ObjectStorage): {
  readonly storage: ObjectStorage
  readonly waiting: (() => Promise<void>)[]
} {
  const waiting: (() => Promise<void>)[] = []
  const write = async (path: string, bytes: Uint8Array): Promise<void> => {
    if (path !== checkpointPath) return await inner.write(path, bytes)
    await new Promise<void>((resolve, reject) => {
      waiting.push(async () => {
        await inner.write(path, bytes).then(resolve, reject)
      })
    })
  }
  return { storage: { ...inner, write }, waiting }
}

describe('a checkpoint', () => {
  test('is written every so many commits, and not in a log that is shorter', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage, { checkpointCommits: 4 })
    const found: (number | undefined)[] = []
    for (let n = 0; n < 12; n++) {
      await publish(log, 1)
      found.push(await checkpointOf(storage))
    }
    const none = undefined
    expect(found).toEqual([none, none, 3, 3, 3, 3, 7, 7, 7, 7, 11, 11])
    const usual = createMemoryStorage()
    await publish(await openTestLog(usual), 50)
    expect(await usual.stat(checkpointPath)).toBeUndefined()
  })

  test('is written by a start that had to read so many', async () => {
    const storage = createMemoryStorage()
    const first = await openTestLog(storage)
    await publish(first, 5)
    const second = await openTestLog(storage, { checkpointCommits: 7 })
    expect(await checkpointOf(storage)).toBe(6)
    await second.close()
    await openTestLog(storage, { checkpointCommits: 2 })
    // One manifest since then is not so many.
    expect(await checkpointOf(storage)).toBe(6)
  })

  test('holds up no publish, and is awaited by close()', async () => {
    const inner = createMemoryStorage()
    const { storage, waiting } = slowCheckpoints(inner)
    const log = await openTestLog(storage, { checkpointCommits: 3 })
    await publish(log, 10)
    expect(waiting).toHaveLength(1)
    let isClosed = false
    const closing = log.close().then(() => {
      isClosed = true
    })
    await Promise.resolve()
    expect(isClosed).toBe(false)
    await waiting[0]?.()
    await closing
    // As of when its writing began.
    const fitting = await readCheckpoint(inner, emptyLogBase)
    expect(fitting?.checkpoint.commit).toBe(2)
    expect(fitting?.checkpoint.recovered.place?.position).toBe('1/2')
  })

  test('fails no publish on a full disk, and is written once there is room', async () => {
    const storage = createFaultyStorage(createMemoryStorage())
    const said: unknown[] = []
    const write = (level: string, message: string, fields: object): void => {
      if (message.includes('checkpoint')) said.push({ level, text: message, ...fields })
    }
    const log = createLog(write, 'debug')
    const gateway = await openTestLog(storage, { checkpointCommits: 8, log })
    storage.decide = ({ path }) => (path === checkpointPath ? 'full' : undefined)
    await publish(gateway, 7)
    expect(said).toMatchObject([
      { level: 'debug', text: expect.stringContaining('no checkpoint'), code: 'STORAGE_FULL' },
    ])
    expect(await storage.stat(checkpointPath)).toBeUndefined()
    storage.decide = () => undefined
    await publish(gateway, 1)
    expect(await checkpointOf(storage)).toBe(8)
    expect((await readLog(storage)).manifests).toHaveLength(9)
  })

  test('torn by the storage is passed over', async () => {
    const storage = createFaultyStorage(createMemoryStorage())
    const log = await openTestLog(storage, { checkpointCommits: 3 })
    storage.decide = ({ path }) => (path === checkpointPath ? 'torn' : undefined)
    await publish(log, 2)
    storage.decide = () => undefined
    expect(await storage.stat(checkpointPath)).toBeDefined()
    expect(await checkpointOf(storage)).toBeUndefined()
    expect((await openTestLog(storage)).recovered.newest).toBe(3)
  })
})

describe('a gateway that lost the volume', () => {
  test('leaves one that is true of the log, however late', async () => {
    const inner = createMemoryStorage()
    const { storage, waiting } = slowCheckpoints(inner)
    const old = await openTestLog(storage, { checkpointCommits: 3 })
    await publish(old, 3)
    const young = await openTestLog(inner, { checkpointCommits: 3 })
    await publish(young, 6)
    await young.close()
    const newest = await checkpointOf(inner)
    expect(newest).toBeGreaterThan(4)
    await expect(publish(old, 1)).rejects.toThrow(
      expect.objectContaining({ code: 'STAGING_FENCED' }),
    )
    for (const write of waiting) await write()
    await old.close()
    expect(await checkpointOf(inner)).toBe(2)
    const next = await openTestLog(inner)
    const whole = new RecoveredLog()
    const { base, manifests } = await readLog(inner)
    whole.begin(base)
    for (const manifest of manifests) whole.take(manifest)
    expect(next.recovered.state()).toEqual(whole.state())
    expect(next.epoch).toBe(3)
  })

  test('writes none of what it did not publish', async () => {
    const storage = createMemoryStorage()
    const old = await openTestLog(storage, { checkpointCommits: 2 })
    await openTestLog(storage, { checkpointCommits: 100 })
    await expect(publish(old, 1)).rejects.toThrow(
      expect.objectContaining({ code: 'STAGING_FENCED' }),
    )
    await expect(publish(old, 1)).rejects.toThrow(
      expect.objectContaining({ code: 'STAGING_FENCED' }),
    )
    await old.close()
    expect(await storage.stat(checkpointPath)).toBeUndefined()
  })

  test('on a volume that was exchanged meanwhile has none that fits there', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage, { checkpointCommits: 3 })
    await publish(log, 2)
    expect(await checkpointOf(storage)).toBe(2)
    const bytes = (await storage.read(checkpointPath)) ?? new Uint8Array()
    const other = createMemoryStorage()
    await publish(await openTestLog(other), 9)
    await other.write(checkpointPath, bytes)
    expect(await checkpointOf(other)).toBeUndefined()
  })
})
