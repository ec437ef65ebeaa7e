import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasCode, SluiceError } from '../base/errors.ts'
import type { AddFile } from '../delta/actions.ts'
import type { DeltaSnapshot, DeltaTable } from '../delta/delta-table.ts'
import { openEngine } from '../engine/duckdb.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { namedDamage } from './damaged-file.ts'

test('trap: a failure of the engine is put down to a file only when that file is damaged', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-damage-'))
  const engine = await openEngine({ threads: 1, memoryLimitBytes: 2 ** 27 })
  try {
    const file = join(folder, 'one.parquet')
    await engine.run(
      `COPY (SELECT range AS id, md5(range::VARCHAR) AS v FROM range(900)) TO '${file}'`,
    )
    const bytes = await readFile(file)
    const table = { storage: createLocalStorage(folder), root: '' } as DeltaTable
    const add = { path: 'one.parquet', size: bytes.length } as AddFile
    const snapshotOf = (configuration: Record<string, string>): DeltaSnapshot =>
      ({
        files: new Map([[add.path, add]]),
        metadata: { configuration },
      }) as unknown as DeltaSnapshot
    const failed = new SluiceError('ENGINE_FAILED', 'Invalid Input Error')
    const judge = async (thrown: unknown, configuration = {}): Promise<unknown> =>
      await namedDamage(thrown, { engine, table, snapshot: snapshotOf(configuration) })

    expect(await judge(failed)).toBe(failed)
    await writeFile(file, Buffer.from(bytes).fill(0xa5, 4, bytes.length >> 1))
    const damaged = await judge(failed)
    expect(hasCode(damaged, 'DESTINATION_FILE_DAMAGED') && damaged.message).toContain(file)
    const history = (await judge(failed, { 'sluice.kind': 'versions' })) as SluiceError
    expect(history.remedy).toMatch(/backup/)
    const other = new SluiceError('ENGINE_OUT_OF_MEMORY', 'Out of Memory Error')
    expect(await judge(other)).toBe(other)
    await rm(file)
    expect(await judge(failed)).toMatchObject({ code: 'DESTINATION_FILE_DAMAGED' })
  } finally {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  }
})
