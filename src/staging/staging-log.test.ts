import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  collectingReader,
  batchOf,
  draftOf,
  openTestLog,
  pathsOf,
  stageChanges,
  tableId,
} from '../../test/support/staging-fixtures.ts'
import { createLog } from '../observe/log.ts'
import { createFaultyStorage } from '../storage/faulty-storage.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { changeFilePath, manifestPath } from './layout.ts'
import { readLog } from '../../test/support/read-log.ts'
import { verifyStagedFile } from './verify-staged-file.ts'

const folder = await mkdtemp(join(tmpdir(), 'sluice-staging-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const withCode = (code: string): unknown => expect.objectContaining({ code })
const schema: TableSchema = {
  columns: [{ name: 'id', type: { kind: 'int64' }, sourceType: 'bigint', nullable: false }],
  key: ['id'],
}

describe('openStagingLog()', () => {
  test('takes a new volume over with epoch 1 and empty positions', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    expect(log.epoch).toBe(1)
    expect(log.manifests).toEqual([
      {
        format: 1,
        commit: 0,
        epoch: 1,
        writer: expect.any(String),
        created_at_ms: 1_700_000_000_000,
        incarnation: '',
        position_before: '',
        position_after: '',
        entries: [],
      },
    ])
    expect(await pathsOf(storage)).toEqual([manifestPath(0)])
  })

  test('goes on where the log ends, one epoch further', async () => {
    const storage = createLocalStorage(join(folder, 'again'))
    const first = await openTestLog(storage)
    await first.publish({ ...draftOf([], '0/1'), position_after: '0/9' })
    await first.close()
    await expect(first.publish(draftOf([]))).rejects.toThrow('closed')
    const second = await openTestLog(storage)
    expect(second.epoch).toBe(2)
    expect(second.manifests.slice(0, 2)).toEqual(first.manifests)
    expect(second.manifests[2]).toMatchObject({
      commit: 2,
      epoch: 2,
      incarnation: 'i',
      position_before: '0/9',
      position_after: '0/9',
    })
  })

  test('removes files that no manifest names, and no others', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    await log.writeSchema(tableId('7'), 0, schema)
    const named = await stageChanges(log, '7', 1)
    await log.publish(draftOf([named]))
    await stageChanges(log, '7', 2)
    const newer = changeFilePath({ tableId: '7', firstSequence: 3n, epoch: 9, number: 0 })
    await storage.write(newer, Buffer.from('of a gateway that came after us'))
    await storage.write('tables/7/notes.txt', Buffer.from('not ours'))
    await openTestLog(storage)
    expect(await pathsOf(storage, 'tables/')).toEqual([
      'tables/7/changes/00000000000000000001-1-0.parquet',
      newer,
      'tables/7/notes.txt',
      'tables/7/schema-0.json',
    ])
  })

  test('goes on when such files can not be removed', async () => {
    const inner = createMemoryStorage()
    await stageChanges(await openTestLog(inner), '7', 1)
    const storage = { ...inner, delete: () => Promise.reject(new Error('refused')) }
    const warnings: unknown[] = []
    const log = createLog(
      (level, message, fields) => warnings.push([level, message, fields]),
      'warn',
    )
    expect((await openTestLog(storage, { log })).epoch).toBe(2)
    expect(warnings).toMatchObject([['warn', 'unpublished files were not removed', {}]])
    await openTestLog(inner)
    expect(await pathsOf(inner, 'tables/')).toEqual([])
  })

  test('refuses a log with a hole, wherever it is', async () => {
    for (let hole = 0; hole < 11; hole++) {
      const storage = createMemoryStorage()
      const log = await openTestLog(storage)
      for (let n = 0; n < 11; n++) await log.publish(draftOf([]))
      await storage.delete(manifestPath(hole))
      await expect(openTestLog(storage), `${hole}`).rejects.toThrow(withCode('STAGING_LOG_GAP'))
      const reader = collectingReader(storage)
      await expect(reader.refresh()).rejects.toThrow(manifestPath(hole))
    }
  })

  test('refuses a damaged manifest by name and writes nothing', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    for (let n = 0; n < 3; n++) await log.publish(draftOf([]))
    const bytes = await storage.read(manifestPath(2))
    await storage.write(manifestPath(2), bytes?.subarray(0, 40) ?? new Uint8Array())
    await expect(openTestLog(storage)).rejects.toThrow(
      expect.objectContaining({
        code: 'STAGING_MANIFEST_UNREADABLE',
        message: expect.stringContaining(manifestPath(2)),
      }),
    )
    expect(await pathsOf(storage)).toHaveLength(4)
  })
})

describe('fencing', () => {
  test('of two gateways on one volume exactly one goes on', async () => {
    const storage = createLocalStorage(join(folder, 'two'))
    const logs = await Promise.all([openTestLog(storage), openTestLog(storage)])
    expect(logs.map((log) => log.epoch).toSorted((a, b) => a - b)).toEqual([1, 2])
    const published = await Promise.allSettled(
      logs.map(async (log) => {
        for (let n = 0; n < 20; n++) {
          await log.publish(draftOf([await stageChanges(log, '7', n)], `${log.epoch}/${n}`))
        }
      }),
    )
    const lost = published.flatMap((each, n) => (each.status === 'rejected' ? [n] : []))
    expect(lost).toEqual([logs.findIndex((log) => log.epoch === 1)])
    expect(published[lost[0] ?? 0]).toMatchObject({ reason: withCode('STAGING_FENCED') })
    const manifests = (await readLog(storage)).manifests
    expect(manifests.map(({ commit }) => commit)).toEqual(manifests.map((_, n) => n))
    expect(manifests.filter(({ epoch }) => epoch === 2)).toHaveLength(21)
  })

  test('a fenced gateway stays fenced', async () => {
    const storage = createMemoryStorage()
    const old = await openTestLog(storage)
    await openTestLog(storage)
    for (let n = 0; n < 2; n++) {
      await expect(old.publish(draftOf([]))).rejects.toThrow(withCode('STAGING_FENCED'))
    }
    const path = changeFilePath({ tableId: '7', firstSequence: 0n, epoch: 1, number: 0 })
    await expect(old.openDataFile(path, [])).rejects.toThrow(withCode('STAGING_FENCED'))
    await expect(old.writeSchema(tableId('7'), 0, schema)).rejects.toThrow(
      withCode('STAGING_FENCED'),
    )
  })

  test('many gateways that start at once each get an epoch of their own', async () => {
    const storage = createMemoryStorage()
    const logs = await Promise.all(Array.from({ length: 8 }, () => openTestLog(storage)))
    expect(logs.map((log) => log.epoch).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })
})

describe('publish()', () => {
  test('takes a lost answer for what it is', async () => {
    const storage = createFaultyStorage(createMemoryStorage())
    const log = await openTestLog(storage)
    storage.decide = () => 'lost-response'
    const manifest = await log.publish(draftOf([], '0/1'))
    storage.decide = () => undefined
    expect(manifest.commit).toBe(1)
    expect((await log.publish(draftOf([], '0/2'))).commit).toBe(2)
    const reopened = await openTestLog(storage)
    expect(reopened.manifests.slice(0, 3)).toEqual(log.manifests)
  })

  test('a lost answer while taking over is no other gateway', async () => {
    const storage = createFaultyStorage(createMemoryStorage(), () => 'lost-response')
    const log = await openTestLog(storage)
    expect(log.epoch).toBe(1)
    expect(log.manifests).toHaveLength(1)
  })

  test('can be called again when the volume had been full', async () => {
    const storage = createFaultyStorage(createLocalStorage(join(folder, 'full')))
    const log = await openTestLog(storage)
    const entry = await stageChanges(log, '7', 1)
    const before = await pathsOf(storage)
    storage.decide = () => 'full'
    await expect(log.publish(draftOf([entry]))).rejects.toThrow(
      expect.objectContaining({
        code: 'STORAGE_FULL',
        message: expect.stringContaining(storage.url),
      }),
    )
    await expect(stageChanges(log, '7', 2)).rejects.toThrow(
      expect.objectContaining({
        code: 'STORAGE_FULL',
        message: expect.stringContaining(storage.url),
      }),
    )
    expect(await pathsOf(storage)).toEqual(before)
    storage.decide = () => undefined
    await log.publish(draftOf([entry, await stageChanges(log, '7', 2)]))
    const [, manifest] = (await readLog(storage)).manifests
    expect(manifest?.entries).toHaveLength(2)
  })

  test('an earlier attempt that shows up late with other content stops the log', async () => {
    const inner = createMemoryStorage()
    const late: (() => Promise<unknown>)[] = []
    const storage = {
      ...inner,
      async writeIfAbsent(path: string, bytes: Uint8Array): Promise<boolean> {
        if (!path.endsWith('1.json') || late.length > 0) return inner.writeIfAbsent(path, bytes)
        late.push(() => inner.writeIfAbsent(path, bytes))
        throw new Error('timed out')
      },
    }
    const log = await openTestLog(storage)
    await expect(log.publish(draftOf([], 'a'))).rejects.toThrow('timed out')
    await late[0]?.()
    await expect(log.publish(draftOf([], 'b'))).rejects.toThrow(
      withCode('STAGING_PUBLISH_UNSETTLED'),
    )
    await expect(log.publish(draftOf([], 'b'))).rejects.toThrow(
      withCode('STAGING_PUBLISH_UNSETTLED'),
    )
    expect((await openTestLog(storage)).manifests[1]).toMatchObject({ position_after: 'a' })
  })

  test('the same content again after a late first attempt is one commit', async () => {
    const inner = createMemoryStorage()
    let first: Uint8Array | undefined
    const storage = {
      ...inner,
      async writeIfAbsent(path: string, bytes: Uint8Array): Promise<boolean> {
        if (path !== manifestPath(1) || first !== undefined) return inner.writeIfAbsent(path, bytes)
        first = bytes
        throw new Error('timed out')
      },
    }
    let now = 5
    const log = await openTestLog(storage, { clock: { nowMs: () => now++ } })
    await expect(log.publish(draftOf([], 'a'))).rejects.toThrow('timed out')
    await inner.writeIfAbsent(manifestPath(1), first ?? new Uint8Array())
    expect(await log.publish(draftOf([], 'a'))).toMatchObject({ commit: 1, created_at_ms: 6 })
    expect((await log.publish(draftOf([], 'b'))).commit).toBe(2)
  })

  test('refuses what no reader could read, and calls that overlap', async () => {
    const log = await openTestLog(createMemoryStorage())
    const gap = { kind: 'gap', table_id: '../x', reason: '' } as const
    await expect(log.publish(draftOf([gap]))).rejects.toThrow('entries[0].table_id')
    const both = await Promise.allSettled([log.publish(draftOf([])), log.publish(draftOf([]))])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect((await log.publish(draftOf([]))).commit).toBe(2)
  })
})

describe('a transaction of millions of rows', () => {
  test('is one commit of hundreds of files', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    const entries = []
    for (let n = 0; n < 600; n++) entries.push(await stageChanges(log, `${n % 3}`, n))
    await log.publish(draftOf(entries))
    const [, manifest] = (await readLog(storage)).manifests
    expect(manifest?.entries).toEqual(entries)
    await openTestLog(storage)
    expect(await pathsOf(storage, 'tables/')).toHaveLength(600)
  })
})

describe('data files', () => {
  const path = changeFilePath({ tableId: '7', firstSequence: 1n, epoch: 1, number: 0 })

  test('are visible at close, as the manifest says', async () => {
    const storage = createLocalStorage(join(folder, 'file'))
    const log = await openTestLog(storage)
    const writer = await log.openDataFile(path, [])
    expect(await writer.write(batchOf(2))).toBe(7)
    expect(await writer.write(batchOf(30))).toBe(15)
    expect(await storage.stat(path)).toBeUndefined()
    const file = await writer.close()
    expect(file).toEqual({ path, rows: 32, bytes: 22, crc32: expect.any(Number) })
    await verifyStagedFile(storage, file)
    await writer.abort()
    expect(await storage.stat(path)).toMatchObject({ sizeBytes: 22 })
  })

  test('leave nothing when aborted or failed', async () => {
    const storage = createFaultyStorage(createLocalStorage(join(folder, 'abort')))
    const log = await openTestLog(storage)
    const writer = await log.openDataFile(path, [])
    await writer.write(batchOf(2))
    await writer.abort()
    await writer.abort()
    storage.decide = () => 'fail'
    const failing = await log.openDataFile(path, [])
    await failing.write(batchOf(2))
    await expect(failing.close()).rejects.toThrow(withCode('STORAGE_FAILED'))
    await expect(failing.write(batchOf(2))).rejects.toThrow()
    expect(await pathsOf(storage)).toEqual([manifestPath(0)])
  })

  test('carry the epoch of their gateway', async () => {
    const log = await openTestLog(createMemoryStorage())
    const foreign = changeFilePath({ tableId: '7', firstSequence: 1n, epoch: 2, number: 0 })
    await expect(log.openDataFile(foreign, [])).rejects.toThrow('epoch 1')
    await expect(log.openDataFile('tables/7/x.parquet', [])).rejects.toThrow('epoch 1')
  })
})

describe('schemas', () => {
  test('are written once per version', async () => {
    const log = await openTestLog(createMemoryStorage())
    await log.writeSchema(tableId('7'), 0, schema)
    await log.writeSchema(tableId('7'), 0, schema)
    expect(await log.readSchema('7', 0)).toEqual(schema)
    await expect(log.writeSchema(tableId('7'), 0, { ...schema, key: ['x'] })).rejects.toThrow(
      withCode('STAGING_SCHEMA_CONFLICT'),
    )
    await expect(log.readSchema('7', 1)).rejects.toThrow(withCode('STAGING_SCHEMA_MISSING'))
  })
})

describe('verifyStagedFile()', () => {
  test('tells a missing from a damaged file, at every place', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    const path = changeFilePath({ tableId: '7', firstSequence: 1n, epoch: 1, number: 0 })
    const writer = await log.openDataFile(path, [])
    await writer.write(batchOf(123))
    const file = await writer.close()
    const bytes = (await storage.read(path)) ?? new Uint8Array()
    const damaged = withCode('STAGING_FILE_DAMAGED')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await storage.write(path, flipped)
      await expect(verifyStagedFile(storage, file)).rejects.toThrow(damaged)
    }
    await storage.write(path, bytes.subarray(0, -1))
    await expect(verifyStagedFile(storage, file)).rejects.toThrow(damaged)
    await storage.delete(path)
    await expect(verifyStagedFile(storage, file)).rejects.toThrow(withCode('STAGING_FILE_MISSING'))
  })
})
