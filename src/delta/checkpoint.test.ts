/** Checkpoints: when they are written, what they hold, and that no damage to them changes the table. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Clock } from '../base/clock.ts'
import { createFaultyStorage } from '../storage/faulty-storage.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { formatActions } from './action-json.ts'
import type { Action, AddFile, RemoveFile } from './actions.ts'
import type { DeltaSnapshot, DeltaTable } from './delta-table.ts'
import { checkpointPath, commitPath, deltaVersion, lastCheckpointPath } from './log-path.ts'
import { openDeltaTable } from './open-delta-table.ts'
import { standardTable } from './standard-table.ts'

let nowMs = 1_800_000_000_000
const clock: Clock = { nowMs: () => nowMs }
const root = 't'

function open(storage: ObjectStorage, failures?: unknown[]): DeltaTable {
  return openDeltaTable({
    storage,
    root,
    clock,
    onCheckpointFailed: (error) => failures?.push(error),
  })
}

function creation(configuration: Record<string, string> = {}): Action[] {
  const columns = [{ name: 'id', type: { kind: 'int64' } }] as const
  const table = standardTable({ columns, configuration, name: 'näme "1"', createdAtMs: nowMs })
  return [{ protocol: table.protocol }, { metaData: table.metadata }]
}

const fileOf = (path: string, rest: Partial<AddFile> = {}): AddFile => ({
  path,
  partitionValues: {},
  size: 2 ** 40,
  modificationTime: nowMs,
  dataChange: true,
  stats: '{"numRecords":9000000000,"minValues":{"id":-9223372036854775808}}',
  ...rest,
})

async function commitAll(table: DeltaTable, commits: readonly Action[][]): Promise<DeltaSnapshot> {
  let base = await table.snapshot()
  for (const actions of commits) {
    const outcome = await table.commit(base, actions)
    if (outcome.kind !== 'committed') throw new Error(outcome.kind)
    base = outcome.snapshot
  }
  if (base === undefined) throw new Error('nothing committed')
  return base
}

const byKey = (left: readonly [string, unknown], right: readonly [string, unknown]): number =>
  left[0] < right[0] ? -1 : 1

/** What a checkpoint keeps: `dataChange` is meaningless in it, and removes lose stats and tags. */
function kept(snapshot: DeltaSnapshot | undefined): unknown {
  if (snapshot === undefined) return undefined
  const quiet = <T extends AddFile | RemoveFile>(files: ReadonlyMap<string, T>): unknown =>
    [...files].toSorted(byKey).map(([key, file]) => {
      const { stats, tags, ...rest } = file
      const more = 'modificationTime' in file ? { stats, tags } : {}
      return [key, { ...rest, ...more, dataChange: false }]
    })
  return {
    ...snapshot,
    files: quiet(snapshot.files),
    tombstones: quiet(snapshot.tombstones),
    txnVersions: [...snapshot.txnVersions].toSorted(byKey),
    domains: [...snapshot.domains].toSorted(byKey),
  }
}

async function deleteCommitsBefore(storage: ObjectStorage, version: bigint): Promise<void> {
  for (let at = 0n; at < version; at++) await storage.delete(commitPath(root, at))
}

const addCommits = (from: number, count: number): Action[][] =>
  Array.from({ length: count }, (_, n) => [{ add: fileOf(`f${from + n}.parquet`) }])

test('a checkpoint follows every tenth version and replaces the commits before it', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const written = await commitAll(open(storage), [creation(), ...addCommits(1, 23)])
  expect(written.version).toBe(23n)
  const hint = new TextDecoder().decode(await storage.read(lastCheckpointPath(root)))
  expect(JSON.parse(hint)).toMatchObject({ version: 20, size: 22, numOfAddFiles: 20 })
  await deleteCommitsBefore(storage, 20n)
  expect(kept(await open(storage).snapshot())).toEqual(kept(written))
  const old = await open(storage).snapshot(deltaVersion(21))
  expect(old?.files.size).toBe(21)
  // Only the checkpoints of 10 and 20 are left of the past.
  expect((await open(storage).snapshot(deltaVersion(10)))?.files.size).toBe(10)
  await expect(open(storage).snapshot(deltaVersion(15))).rejects.toMatchObject({
    code: 'DELTA_VERSION_MISSING',
  })
})

test('delta.checkpointInterval is honoured', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const commits = [creation({ 'delta.checkpointInterval': '3' }), ...addCommits(1, 4)]
  await commitAll(open(storage), commits)
  expect(await storage.stat(checkpointPath(root, 3n))).toBeDefined()
  expect(await storage.stat(checkpointPath(root, 4n))).toBeUndefined()
})

test.each([
  ['absent', undefined],
  ['empty', ''],
  ['torn', '{"version":2'],
  ['of a version that has no checkpoint', '{"version":15,"size":1}'],
  ['of a version beyond the last', '{"version":99,"size":1}'],
  ['of an older checkpoint', '{"version":10,"size":1}'],
  ['nonsense', '[null]'],
])('a hint that is %s changes nothing', async (_, text) => {
  const storage = createMemoryStorage(() => nowMs)
  const written = await commitAll(open(storage), [creation(), ...addCommits(1, 22)])
  if (text === undefined) await storage.delete(lastCheckpointPath(root))
  else await storage.write(lastCheckpointPath(root), new TextEncoder().encode(text))
  expect(kept(await open(storage).snapshot())).toEqual(kept(written))
  await deleteCommitsBefore(storage, 20n)
  expect(kept(await open(storage).snapshot())).toEqual(kept(written))
})

test('a torn checkpoint is passed over while the commits are there, and named when not', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const written = await commitAll(open(storage), [creation(), ...addCommits(1, 22)])
  const whole = (await storage.read(checkpointPath(root, 20n))) ?? new Uint8Array()
  await storage.write(checkpointPath(root, 20n), whole.subarray(0, whole.byteLength >> 1))
  expect(kept(await open(storage).snapshot())).toEqual(kept(written))
  await deleteCommitsBefore(storage, 11n)
  expect(kept(await open(storage).snapshot())).toEqual(kept(written))
  await storage.delete(commitPath(root, 12n))
  await expect(open(storage).snapshot()).rejects.toMatchObject({ code: 'DELTA_LOG_CORRUPT' })
})

test.each([
  ['fail', '.checkpoint.parquet'],
  ['torn', '.checkpoint.parquet'],
  ['lost-response', '.checkpoint.parquet'],
  ['fail', '_last_checkpoint'],
  ['torn', '_last_checkpoint'],
] as const)('a checkpoint that fails (%s at %s) never fails its commit', async (fault, name) => {
  const inner = createMemoryStorage(() => nowMs)
  const storage = createFaultyStorage(inner, ({ path }) =>
    path.endsWith(name) ? fault : undefined,
  )
  const failures: unknown[] = []
  const written = await commitAll(open(storage, failures), [creation(), ...addCommits(1, 11)])
  expect(written.version).toBe(11n)
  expect(failures).toHaveLength(1)
  expect(kept(await open(inner).snapshot())).toEqual(kept(written))
})

test('a table of 10 100 files and every kind of action survives its checkpoint', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const adds: Action[] = Array.from({ length: 10_100 }, (_, n) => ({
    add: fileOf(`f${n}.parquet`, n % 7 === 0 ? { tags: { a: '', ключ: 'b"' } } : {}),
  }))
  const deletionVector = {
    storageType: 'u',
    pathOrInlineDv: 'ab^-aqEH.-t@S}K{vb[*',
    offset: 1,
    sizeInBytes: 40,
    cardinality: 3,
  } as const
  const others: Action[] = [
    { txn: { appId: 'sluice/1/2', version: 2 ** 45 } },
    { domainMetadata: { domain: 'd', configuration: '{"x":1}', removed: false } },
    { add: fileOf('dv.parquet', { deletionVector, partitionValues: { p: null, q: '' } }) },
  ]
  const commits = [
    creation({ 'delta.checkpointInterval': '2' }),
    [...adds, ...others],
    [{ remove: { path: 'f3.parquet', dataChange: true, deletionTimestamp: nowMs } }],
  ]
  const written = await commitAll(open(storage), commits)
  await deleteCommitsBefore(storage, 2n)
  expect(kept(await open(storage).snapshot())).toEqual(kept(written))
})

test('a removed file stays in checkpoints for the retention time and no longer', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const properties = {
    'delta.checkpointInterval': '2',
    'delta.deletedFileRetentionDuration': 'interval 1 days',
  }
  await commitAll(open(storage), [
    creation(properties),
    [{ add: fileOf('a') }],
    [{ remove: { path: 'a', dataChange: true, deletionTimestamp: nowMs } }],
  ])
  expect((await open(storage).snapshot())?.tombstones.size).toBe(1)
  nowMs += 86_400_001
  await commitAll(open(storage), addCommits(1, 2))
  await deleteCommitsBefore(storage, 4n)
  expect((await open(storage).snapshot())?.tombstones.size).toBe(0)
})

/** A step of a random history; what it does depends on the files that are there. */
const step = fc.record({
  adds: fc.nat(3),
  removes: fc.array(fc.nat(100), { maxLength: 3 }),
  vectors: fc.array(fc.nat(100), { maxLength: 2 }),
  txn: fc.option(fc.record({ app: fc.constantFrom('p', 'q'), version: fc.nat() })),
  domain: fc.option(fc.record({ name: fc.constantFrom('x', 'y'), removed: fc.boolean() })),
  renamed: fc.option(fc.string()),
})

test('incremental state = replay from checkpoints = replay of all commits, on random histories', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.integer({ min: 2, max: 6 }),
      async (steps, interval) => {
        const storage = createMemoryStorage(() => nowMs)
        const table = open(storage)
        const reader = open(storage)
        let current = await commitAll(table, [
          creation({ 'delta.checkpointInterval': String(interval) }),
        ])
        let serial = 0
        for (const { adds, removes, vectors, txn, domain, renamed } of steps) {
          const actions: Action[] = []
          const touched = new Set<string>()
          const live = [...current.files.values()]
          const pick = (n: number): AddFile | undefined => {
            const file = live.length === 0 ? undefined : live[n % live.length]
            if (file === undefined || touched.has(file.path)) return undefined
            touched.add(file.path)
            return file
          }
          const removal = (file: AddFile): Action => ({
            remove: {
              path: file.path,
              dataChange: true,
              deletionTimestamp: nowMs,
              ...(file.deletionVector === undefined ? {} : { deletionVector: file.deletionVector }),
            },
          })
          for (const file of removes.map(pick)) if (file) actions.push(removal(file))
          for (const file of vectors.map(pick)) {
            if (file === undefined) continue
            const offset = ++serial
            const deletionVector = {
              storageType: 'u',
              pathOrInlineDv: 'ab^-aqEH.-t@S}K{vb[*',
              offset,
              sizeInBytes: 9,
              cardinality: 1,
            } as const
            actions.push(removal(file), { add: { ...file, deletionVector } })
          }
          for (let n = 0; n < adds; n++)
            actions.push({ add: fileOf(`part ${++serial} %é.parquet`) })
          if (txn) actions.push({ txn: { appId: txn.app, version: txn.version } })
          if (domain)
            actions.push({
              domainMetadata: { domain: domain.name, configuration: '', removed: domain.removed },
            })
          if (renamed !== null)
            actions.push({ metaData: { ...current.metadata, description: renamed } })
          current = await commitAll(table, [actions])
          if (serial % 3 === 0) expect(kept(await reader.snapshot())).toEqual(kept(current))
        }
        const fromCheckpoint = await open(storage).snapshot()
        expect(kept(fromCheckpoint)).toEqual(kept(current))
        for await (const { path } of storage.list('')) {
          if (path.includes('checkpoint')) await storage.delete(path)
        }
        expect(kept(await open(storage).snapshot())).toEqual(kept(current))
      },
    ),
    { numRuns: 30 },
  )
}, 60_000)

test('an unknown reader feature is refused by name; a writer feature only when writing', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const [, metaData] = creation()
  if (metaData === undefined) throw new Error('no metadata')
  const put = (features: { reader: string[]; writer: string[] }): Promise<void> => {
    const protocol = {
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures: features.reader,
      writerFeatures: features.writer,
    }
    return storage.write(
      commitPath(root, 0n),
      new TextEncoder().encode(formatActions([{ protocol }, metaData])),
    )
  }
  await put({ reader: ['timeTravelling'], writer: ['timeTravelling'] })
  const read = open(storage).snapshot()
  await expect(read).rejects.toMatchObject({
    code: 'DELTA_UNSUPPORTED_FEATURE',
    message: 'can not read Delta table t: timeTravelling',
  })
  await put({ reader: [], writer: ['rowTracking', 'appendOnly'] })
  const table = open(storage)
  const snapshot = await table.snapshot()
  expect(snapshot?.version).toBe(0n)
  await expect(table.commit(snapshot, [{ add: fileOf('a') }])).rejects.toMatchObject({
    message: 'can not write Delta table t: rowTracking',
  })
})

test('a checkpoint for later holds up no commit but the next one', async () => {
  const storage = createMemoryStorage()
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => (release = resolve))
  let isAsked = false
  const slow: ObjectStorage = {
    ...storage,
    async write(path, bytes) {
      if (path.includes('.checkpoint')) {
        isAsked = true
        await held
      }
      await storage.write(path, bytes)
    },
  }
  const table = openDeltaTable({ storage: slow, root, clock, checkpoints: 'later' })
  const configuration = { 'delta.checkpointInterval': '1' }
  const first = await commitAll(table, [creation(configuration), [{ add: fileOf('a') }]])
  await expect.poll(() => isAsked).toBe(true)
  expect(await storage.stat(checkpointPath(root, deltaVersion(1n)))).toBeUndefined()
  const order: string[] = []
  const next = table.commit(first, [{ add: fileOf('b') }]).then(() => order.push('commit'))
  const settled = table.settled().then(() => order.push('settled'))
  expect(await storage.stat(commitPath(root, 2n))).toBeUndefined()
  release()
  await Promise.all([next, settled])
  expect(order[0]).toBe('settled')
  expect(await storage.stat(checkpointPath(root, deltaVersion(1n)))).toBeDefined()
  await table.settled()
  expect(await storage.stat(checkpointPath(root, deltaVersion(2n)))).toBeDefined()
})
