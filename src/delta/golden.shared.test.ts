/**
 * Tables that Spark and others wrote, read with our log and compared with the rows a right reader
 * returns. The ones that are broken on purpose must give our coded errors.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ErrorCode } from '../base/error-codes.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { readDeltaRows, readParquetTexts } from '../../test/support/delta-rows.ts'
import { parseActions } from './action-json.ts'
import type { DeletionVectorDescriptor } from './actions.ts'
import {
  deletionVectorId,
  encodePositions,
  framedRange,
  relativeVectorPath,
} from './deletion-vector.ts'
import { openDeltaTable } from './open-delta-table.ts'

const archives = fileURLToPath(new URL('../../../shared/data/delta-golden', import.meta.url))
const names = readdirSync(archives)
  .filter((name) => name.endsWith('.tar.zst'))
  .map((name) => basename(name, '.tar.zst'))

/** Tables that no right reader reads. */
const refused: Readonly<Record<string, ErrorCode>> = {
  'data-reader-absolute-paths-escaped-chars': 'DELTA_LOG_CORRUPT',
  'deltalog-invalid-protocol-version': 'DELTA_UNSUPPORTED_FEATURE',
  'deltalog-state-reconstruction-from-checkpoint-missing-metadata': 'DELTA_LOG_CORRUPT',
  'deltalog-state-reconstruction-from-checkpoint-missing-protocol': 'DELTA_LOG_CORRUPT',
  'deltalog-state-reconstruction-without-metadata': 'DELTA_LOG_CORRUPT',
  'deltalog-state-reconstruction-without-protocol': 'DELTA_LOG_CORRUPT',
  'versions-not-contiguous': 'DELTA_LOG_GAP',
}

/** Tables whose data files do not exist: the version and the paths that are live in it. */
const logsOnly: Readonly<Record<string, readonly [bigint, readonly string[]]>> = {
  'canonicalized-paths-normal-a': [1n, []],
  'canonicalized-paths-normal-b': [1n, []],
  'canonicalized-paths-special-a': [1n, []],
  'canonicalized-paths-special-b': [1n, []],
  checkpoint: [14n, ['15']],
  'delete-re-add-same-file-different-transactions': [3n, ['bar', 'foo']],
  'deltalog-commit-info': [0n, ['abc']],
  'log-replay-special-characters-b': [0n, ['special p@#h']],
  'update-deleted-directory': [0n, ['1', '10', '2', '3', '4', '5', '6', '7', '8', '9']],
}

/** Partition values of timestamps carry no zone: they are in the zone of whoever wrote them. */
const writerZones: Readonly<Record<string, string>> = {
  'data-reader-partition-values': 'America/Los_Angeles',
}

const hiveRowCounts: Readonly<Record<string, number>> = {
  'deltatbl-column-names-case-insensitive': 10,
  'deltatbl-deleted-path': 10,
  'deltatbl-incorrect-format-config': 10,
  'deltatbl-map-types-correctly': 1,
  'deltatbl-non-partitioned': 10,
  'deltatbl-not-allow-write': 10,
  'deltatbl-partition-prune': 5,
  'deltatbl-partitioned': 10,
  'deltatbl-schema-match': 10,
  'deltatbl-special-chars-in-partition-column': 10,
  'deltatbl-touch-files-needed-for-partitioned': 10,
}

let folder = ''
let engine: Engine

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-golden-'))
  engine = await openEngine({ threads: 1 })
  for (const name of names) {
    const target = join(folder, name)
    await mkdir(target)
    await promisify(execFile)('tar', [
      '--zstd',
      '-xf',
      join(archives, `${name}.tar.zst`),
      '-C',
      target,
    ])
  }
})

afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const storageOf = (name: string): ObjectStorage => createLocalStorage(join(folder, name, name))

const special = new Set([
  ...Object.keys(refused),
  ...Object.keys(logsOnly),
  'hive',
  'no-delta-log-folder',
])

test.each(names.filter((name) => !special.has(name)))('%s has the expected rows', async (name) => {
  const table = openDeltaTable({ storage: storageOf(name), root: 'delta' })
  const snapshot = await table.snapshot()
  if (snapshot === undefined) throw new Error('no log')
  const expected = join(folder, name, name, 'expected')
  const paths = readdirSync(expected, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.parquet') && !basename(path).startsWith('.'))
    .map((path) => join(expected, path))
  expect(existsSync(join(expected, '_SUCCESS')) || paths.length > 0).toBe(true)
  await engine.run(`SET TimeZone = '${writerZones[name] ?? 'UTC'}'`)
  const rows = await readDeltaRows({ engine, table, snapshot })
  expect(rows).toEqual(await readParquetTexts(engine, paths, snapshot.metadata.schemaString))
  await engine.run("SET TimeZone = 'UTC'")
})

test.each(Object.entries(refused))('%s is refused with %s', async (name, code) => {
  const table = openDeltaTable({ storage: storageOf(name), root: 'delta' })
  await expect(table.snapshot()).rejects.toMatchObject({ code })
})

test.each(Object.entries(logsOnly))(
  'the log of %s has the right files',
  async (name, [version, paths]) => {
    const table = openDeltaTable({ storage: storageOf(name), root: 'delta' })
    const snapshot = await table.snapshot()
    expect(snapshot?.version).toBe(version)
    expect([...(snapshot?.files.keys() ?? [])].toSorted()).toEqual(paths)
  },
)

test('a folder without a log is no table', async () => {
  const storage = storageOf('no-delta-log-folder')
  expect(await openDeltaTable({ storage, root: 'delta' }).snapshot()).toBeUndefined()
})

test.each(Object.entries(hiveRowCounts))('hive %s has %d rows', async (name, count) => {
  const table = openDeltaTable({ storage: storageOf('hive'), root: `delta/${name}` })
  const snapshot = await table.snapshot()
  if (snapshot === undefined) throw new Error('no log')
  expect(await readDeltaRows({ engine, table, snapshot })).toHaveLength(count)
})

async function storedVectors(
  storage: ObjectStorage,
): Promise<Map<string, DeletionVectorDescriptor>> {
  const found = new Map<string, DeletionVectorDescriptor>()
  for await (const { path } of storage.list('delta/_delta_log/')) {
    if (!/\/\d{20}\.json$/.test(path)) continue
    const text = new TextDecoder().decode(await storage.read(path))
    for (const action of parseActions(text, path)) {
      const vector = 'add' in action ? action.add.deletionVector : undefined
      if (vector !== undefined) found.set(deletionVectorId(vector), vector)
    }
  }
  return found
}

test('every deletion vector is re-encoded byte for byte', async () => {
  let count = 0
  for (const name of names.filter((one) => one.includes('dv'))) {
    const storage = storageOf(name)
    const table = openDeltaTable({ storage, root: 'delta' })
    for (const vector of (await storedVectors(storage)).values()) {
      const file = { path: '', partitionValues: {}, size: 0, modificationTime: 0, dataChange: true }
      const positions = await table.readDeletionVector({ ...file, deletionVector: vector })
      const path = `delta/${relativeVectorPath(vector)}`
      const frame = await storage.readRange(path, ...framedRange(vector))
      const payload = frame.subarray(4, -4)
      expect(Buffer.from(encodePositions(BigUint64Array.from(positions)))).toEqual(
        Buffer.from(payload),
      )
      count++
    }
  }
  expect(count).toBe(23)
})
