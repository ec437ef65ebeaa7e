/**
 * A published sample database, copied, changed in every table and followed: our own proof, an
 * independent reader of Delta tables, and the source's published JSON have to agree.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import type { Manifest, ManifestEntry } from '../../src/staging/manifest.ts'
import { readLog } from '../support/read-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import {
  changeChinook,
  chinookTableNames,
  loadChinook,
  readChinookJson,
} from '../support/chinook.ts'
import { readWithReferee } from '../support/referee.ts'
import { readServerTable, sortedRows, type TextRow } from '../support/server-rows.ts'
import { resourceFile, runSluice } from '../support/sluice-process.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

let server: EmbeddedPostgres
let folder: string

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  folder = await mkdtemp(join(tmpdir(), 'sluice-chinook-'))
  await loadChinook(server)
  const { port, user } = server
  const text = resourceFile({ port, user, database: 'chinook', schema: 'public' })
  await writeFile(join(folder, 'chinook.yml'), text)
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

interface RunOutcome {
  readonly tables: number
  readonly rows_loaded: number
  readonly changes_applied: number
}

async function runOnce(): Promise<RunOutcome> {
  const args = ['run', 'chinook.yml', '--once', '--output', 'json']
  const { exitCode, stdout, stderr } = await sluice(args)
  expect(exitCode, `${stdout}\n${stderr}`).toBe(0)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as RunOutcome
}

const sluice = (args: readonly string[]) =>
  runSluice(args, { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } })

const tableFolder = (table: string): string => join(folder, '.sluice/lake/main/copy', table)

async function manifests(): Promise<readonly Manifest[]> {
  const storage = createLocalStorage(join(folder, '.sluice/volumes/main/staging/db'))
  return (await readLog(storage)).manifests
}

async function versions(): Promise<readonly unknown[]> {
  return await Promise.all(
    chinookTableNames.map(async (table) => {
      const storage = createLocalStorage(tableFolder(table))
      return [table, (await openDeltaTable({ storage, root: '' }).snapshot())?.version]
    }),
  )
}

async function expectVerified(): Promise<void> {
  const { exitCode, stdout, stderr } = await sluice(['verify'])
  expect(exitCode, `${stdout}\n${stderr}`).toBe(0)
  expect(stdout).toContain(`${chinookTableNames.length} tables equal`)
}

/** The independent reader's rows against the server's, cell by cell; returns how many. */
async function expectRefereed(): Promise<number> {
  const client = await server.connect('chinook')
  let count = 0
  try {
    for (const table of chinookTableNames) {
      const expected = await readServerTable(client, table)
      const found = await readWithReferee(tableFolder(table))
      expect(found.columns.map(([name]) => name)).toEqual(expected.columns)
      expect(sortedRows(found.rows as readonly TextRow[]), table).toEqual(expected.rows)
      count += expected.rows.length
    }
  } finally {
    await client.end()
  }
  return count
}

/**
 * The cell as the server's column type writes it. The JSON is looser than the script: NULL is often
 * an empty text there, and one city has a blank at its end.
 */
function jsonCell(column: string, cell: unknown): string | null {
  if (cell === '' || (typeof cell !== 'string' && typeof cell !== 'number')) return null
  if (column === 'total' || column === 'unit_price') return Number(cell).toFixed(2)
  const text = String(cell).trimEnd()
  return column.endsWith('_date') ? `${text.replace('T', ' ')}.000000` : text
}

const entriesOf = (all: readonly Manifest[]): readonly ManifestEntry[] =>
  all.flatMap(({ entries }) => entries)

test('the first load equals the server and the published JSON', async () => {
  expect(await runOnce()).toMatchObject({ tables: 11, rows_loaded: 15_607, changes_applied: 0 })
  await expectVerified()
  expect(await expectRefereed()).toBe(15_607)
  const published = readChinookJson()
  expect([...published.keys()].toSorted()).toEqual(chinookTableNames.toSorted())
  for (const [table, rows] of published) {
    const { columns, rows: found } = await readWithReferee(tableFolder(table))
    const texts = rows.map((row) => columns.map(([name]) => jsonCell(name, row[name])))
    expect(sortedRows(found as readonly TextRow[]), table).toEqual(sortedRows(texts))
  }
})

test(`changes of every table arrive, by changes only (SLUICE_SEED=${seed})`, async () => {
  const before = (await manifests()).length
  const client = await server.connect('chinook')
  const counts = await changeChinook(client, seed)
  await client.end()
  expect(counts.inserts + counts.updates + counts.deletes).toBeGreaterThan(400)
  expect(Math.min(counts.inserts, counts.updates, counts.deletes)).toBeGreaterThan(100)
  expect(counts.movedKeys).toBeGreaterThan(50)

  expect(await runOnce()).toMatchObject({ tables: 11, rows_loaded: 0 })
  const entries = entriesOf((await manifests()).slice(before))
  expect([...new Set(entries.map(({ kind }) => kind))]).toEqual(['changes'])
  const changes = entries.filter((entry) => entry.kind === 'changes')
  expect(new Set(changes.map((entry) => entry.table_id)).size).toBe(11)
  const sum = (pick: (entry: (typeof changes)[number]) => number): number =>
    changes.reduce((total, entry) => total + pick(entry), 0)
  // A row that changes its key is staged as a delete and an insert.
  expect(sum(({ inserts }) => inserts)).toBe(counts.inserts + counts.movedKeys)
  expect(sum(({ deletes }) => deletes)).toBe(counts.deletes + counts.movedKeys)
  expect(sum(({ updates }) => updates)).toBe(counts.updates - counts.movedKeys)
  await expectVerified()
  await expectRefereed()
})

test('a run with nothing to do commits nothing to any table', async () => {
  const before = { versions: await versions(), commits: (await manifests()).length }
  expect(await runOnce()).toMatchObject({ tables: 11, rows_loaded: 0, changes_applied: 0 })
  expect(await versions()).toEqual(before.versions)
  expect(entriesOf((await manifests()).slice(before.commits))).toEqual([])
  await expectVerified()
  expect(await versions()).toEqual(before.versions)
})
