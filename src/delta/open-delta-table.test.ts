/** The Delta table over memory storage: commits, races, lost answers, incremental reads. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Clock } from '../base/clock.ts'
import { createFaultyStorage } from '../storage/faulty-storage.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Action, AddFile } from './actions.ts'
import { formatActions } from './action-json.ts'
import { commitPath, deltaVersion } from './log-path.ts'
import { openDeltaTable } from './open-delta-table.ts'
import { standardTable } from './standard-table.ts'
import type { CommitOutcome, DeltaSnapshot, DeltaTable } from './delta-table.ts'

const nowMs = 1_800_000_000_000
const clock: Clock = { nowMs: () => nowMs }
const root = 'main/shop/orders'

function open(storage: ObjectStorage): DeltaTable {
  return openDeltaTable({ storage, root, clock })
}

function creation(): Action[] {
  const columns = [{ name: 'id', type: { kind: 'int64' } }] as const
  const { protocol, metadata } = standardTable({ columns, createdAtMs: nowMs })
  return [{ protocol }, { metaData: metadata }]
}

function add(path: string, rest: Partial<AddFile> = {}): Action {
  return {
    add: {
      path,
      partitionValues: {},
      size: 100,
      modificationTime: nowMs,
      dataChange: true,
      stats: '{"numRecords":10}',
      ...rest,
    },
  }
}

function committed(outcome: CommitOutcome): DeltaSnapshot {
  if (outcome.kind !== 'committed') throw new Error(`expected a commit, got ${outcome.kind}`)
  return outcome.snapshot
}

test('a table is created, changed, and read again by another process', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const table = open(storage)
  expect(await table.snapshot()).toBeUndefined()
  const v0 = committed(await table.commit(undefined, creation()))
  const txn = { txn: { appId: 'sluice/p/t', version: 7 } }
  const v1 = committed(await table.commit(v0, [add('a.parquet'), add('b.parquet'), txn]))
  expect(v1.version).toBe(1n)
  expect(v0.files.size).toBe(0)

  const positions = BigUint64Array.of(1n, 5n, 2n ** 33n)
  const [deletionVector] = await table.writeDeletionVectors([positions])
  if (deletionVector === undefined) throw new Error('no descriptor')
  const remove = { path: 'a.parquet', dataChange: true, deletionTimestamp: nowMs }
  const v2 = committed(await table.commit(v1, [{ remove }, add('a.parquet', { deletionVector })]))

  const read = await open(storage).snapshot()
  expect(read).toEqual(v2)
  expect(read?.committedAtMs).toBe(nowMs)
  expect(read?.txnVersions.get('sluice/p/t')).toBe(7)
  const [logicalA] = [...(read?.files.values() ?? [])].filter((file) => file.path === 'a.parquet')
  if (logicalA === undefined) throw new Error('a.parquet is gone')
  expect(await table.readDeletionVector(logicalA)).toEqual(positions)
  expect(read?.files.size).toBe(2)
  expect([...(read?.tombstones.keys() ?? [])]).toEqual(['a.parquet'])
  expect(await table.versions()).toEqual([0n, 1n, 2n])
  expect((await table.snapshot(deltaVersion(1)))?.files).toEqual(v1.files)
  await expect(table.snapshot(deltaVersion(3))).rejects.toMatchObject({
    code: 'DELTA_VERSION_MISSING',
  })
})

test.each(['memory', 'disk'])(
  'on %s exactly one committer wins each version, and the others see its actions',
  async (kind) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-race-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const storage = kind === 'disk' ? createLocalStorage(folder) : createMemoryStorage()
    const openHere = (): DeltaTable => openDeltaTable({ storage, root })
    committed(await openHere().commit(undefined, creation()))
    const rounds = 12
    const winsOf = await Promise.all(
      Array.from({ length: 5 }, async (_, writer) => {
        const table = openHere()
        let wins = 0
        let base = await table.snapshot()
        for (let attempt = 0; wins < rounds; attempt++) {
          const path = `w${writer}-${attempt}.parquet`
          const outcome = await table.commit(base, [add(path)])
          if (outcome.kind === 'committed') wins++
          else {
            expect(outcome.snapshot.version > (base?.version ?? -1n)).toBe(true)
            const foreign = outcome.winners.flatMap((action) =>
              'add' in action ? [action.add] : [],
            )
            expect(foreign.length).toBe(Number(outcome.snapshot.version - (base?.version ?? -1n)))
            expect(foreign.map((file) => file.path)).not.toContain(path)
          }
          base = outcome.snapshot
        }
        return wins
      }),
    )
    expect(winsOf).toEqual([rounds, rounds, rounds, rounds, rounds])
    const last = await openHere().snapshot()
    expect(last?.version).toBe(BigInt(5 * rounds))
    expect(last?.files.size).toBe(5 * rounds)
  },
)

test('two creators: one wins, the other conflicts', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const outcomes = await Promise.all([1, 2].map(() => open(storage).commit(undefined, creation())))
  expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['committed', 'conflict'])
})

test('a lost answer to our own write is a commit, not a conflict', async () => {
  const inner = createMemoryStorage(() => nowMs)
  const storage = createFaultyStorage(inner)
  const table = open(storage)
  const v0 = committed(await table.commit(undefined, creation()))
  storage.decide = () => 'lost-response'
  const v1 = committed(await table.commit(v0, [add('a.parquet')]))
  storage.decide = () => undefined
  expect(v1.version).toBe(1n)
  expect((await open(inner).snapshot())?.files.size).toBe(1)
})

test('a lost answer to a write that lost the race is a conflict', async () => {
  const inner = createMemoryStorage(() => nowMs)
  const storage = createFaultyStorage(inner)
  const table = open(storage)
  const v0 = committed(await table.commit(undefined, creation()))
  committed(await open(inner).commit(v0, [add('theirs.parquet')]))
  storage.decide = () => 'lost-response'
  const outcome = await table.commit(v0, [add('ours.parquet')])
  expect(outcome.kind).toBe('conflict')
  expect([...outcome.snapshot.files.keys()]).toEqual(['theirs.parquet'])
})

test.each(['fail', 'full', 'torn'] as const)(
  'a write that fails (%s) leaves the table as it was and can be tried again',
  async (fault) => {
    const inner = createMemoryStorage(() => nowMs)
    const storage = createFaultyStorage(inner)
    const table = open(storage)
    const v0 = committed(await table.commit(undefined, creation()))
    storage.decide = () => fault
    const code = fault === 'full' ? 'STORAGE_FULL' : 'STORAGE_FAILED'
    await expect(table.commit(v0, [add('a.parquet')])).rejects.toMatchObject({ code })
    expect((await open(inner).snapshot())?.version).toBe(0n)
    storage.decide = () => undefined
    expect(committed(await table.commit(v0, [add('a.parquet')])).version).toBe(1n)
  },
)

test('a snapshot call reads only what is new', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const writer = open(storage)
  let base = committed(await writer.commit(undefined, creation()))
  const reads: string[] = []
  const counting: ObjectStorage = {
    ...storage,
    read: (path) => {
      reads.push(path)
      return storage.read(path)
    },
  }
  const reader = open(counting)
  await reader.snapshot()
  base = committed(await writer.commit(base, [add('a.parquet')]))
  reads.length = 0
  const first = await reader.snapshot()
  expect(first).toEqual(base)
  expect(reads).toEqual([commitPath(root, 1n), commitPath(root, 2n)])
  expect(await reader.snapshot()).toBe(first)
})

test('a table that was deleted and made anew is noticed', async () => {
  let time = nowMs
  const storage = createMemoryStorage(() => time)
  const table = open(storage)
  const v0 = committed(await table.commit(undefined, creation()))
  committed(await table.commit(v0, [add('old.parquet')]))
  for await (const { path } of storage.list('')) await storage.delete(path)
  expect(await table.snapshot()).toBeUndefined()
  time++
  const other = open(storage)
  const again = committed(await other.commit(undefined, creation()))
  committed(await other.commit(again, [add('new.parquet')]))
  expect([...((await table.snapshot())?.files.keys() ?? [])]).toEqual(['new.parquet'])
})

test('a gap and a broken line in the log are coded errors', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const write = (version: bigint, text: string): Promise<void> =>
    storage.write(commitPath(root, version), new TextEncoder().encode(text))
  await write(0n, formatActions(creation()))
  await write(2n, formatActions([add('a.parquet')]))
  await expect(open(storage).snapshot()).rejects.toMatchObject({ code: 'DELTA_LOG_GAP' })
  await write(1n, '{"add":{"path":"a.parquet"')
  await expect(open(storage).snapshot()).rejects.toMatchObject({ code: 'DELTA_LOG_CORRUPT' })
  await write(1n, '{"add":{"path":7}}')
  await expect(open(storage).snapshot()).rejects.toMatchObject({ code: 'DELTA_LOG_CORRUPT' })
  await write(1n, '{"cdc":{"path":"c"}}\n{"somethingNew":{"x":1}}\n')
  expect((await open(storage).snapshot())?.files.size).toBe(1)
})

test('reads what ClickHouse appends', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const table = open(storage)
  committed(await table.commit(undefined, creation()))
  const stats = { stats_json: '{"numRecords":3}' }
  const line = JSON.stringify({
    add: {
      path: 'x',
      partitionValues: null,
      size: 5,
      modificationTime: 1_800_000_000,
      dataChange: true,
      stats,
    },
  })
  await storage.write(commitPath(root, 1n), new TextEncoder().encode(line))
  expect((await table.snapshot())?.files.get('x')?.stats).toBe(JSON.stringify(stats))
})

test('commits that break the protocol are refused before anything is written', async () => {
  const storage = createMemoryStorage(() => nowMs)
  const table = open(storage)
  const v0 = committed(await table.commit(undefined, creation()))
  const deletionVector = {
    storageType: 'u',
    pathOrInlineDv: 'ab^-aqEH.-t@S}K{vb[*',
    offset: 1,
    sizeInBytes: 1,
    cardinality: 1,
  } as const
  const v1 = committed(await table.commit(v0, [add('a', { deletionVector })]))
  const invalid: Action[][] = [
    [add('x'), add('x')],
    // Without its deletion vector this is another logical file.
    [{ remove: { path: 'a', dataChange: true } }],
    [{ remove: { path: 'nowhere', dataChange: true } }],
    [add('x', { deletionVector, stats: '{}' })],
    [{ txn: { appId: 'p', version: 1 } }, { txn: { appId: 'p', version: 2 } }],
  ]
  for (const actions of invalid) {
    await expect(table.commit(v1, actions)).rejects.toMatchObject({ code: 'DELTA_COMMIT_INVALID' })
  }
  const codes = [
    table.commit(undefined, [add('x')]),
    open(createMemoryStorage()).commit(undefined, []),
  ]
  expect((await codes[0])?.kind).toBe('conflict')
  await expect(codes[1]).rejects.toMatchObject({ code: 'DELTA_COMMIT_INVALID' })
  await expect(table.writeDeletionVectors([new BigUint64Array(0)])).rejects.toMatchObject({
    code: 'DELTA_COMMIT_INVALID',
  })
  await expect(table.writeDeletionVectors([BigUint64Array.of(2n, 1n)])).rejects.toMatchObject({
    code: 'DELTA_COMMIT_INVALID',
  })
  expect((await table.snapshot())?.version).toBe(1n)
})
