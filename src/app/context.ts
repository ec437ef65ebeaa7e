/** What every piece of work of one data folder shares. */
import { mkdir } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { type SteadyClock, systemClock } from '../base/clock.ts'
import { SluiceError } from '../base/errors.ts'
import { type Failpoints, failpointsFromText } from '../base/failpoint.ts'
import { createFolders, type Folders } from '../catalog/folders.ts'
import { openSqliteStore } from '../catalog/sqlite-store.ts'
import type { CatalogStore } from '../catalog/store.ts'
import type { AppOptions } from '../cli/app.ts'
import { openDeltaTable } from '../delta/open-delta-table.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import type { Engine } from '../engine/duckdb.ts'
import type { Log } from '../observe/log.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { storageError } from '../storage/storage-error.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { spelledLog } from './remedy.ts'

/** Joins and sorts of the embedded engine spill to disk beyond this. */
const engineMemoryBytes = 128 * 2 ** 20
/** Not everything can spill: what then does not fit gets more, up to a share of the machine. */
const mostEngineMemoryBytes = Math.max(engineMemoryBytes, Math.floor(totalmem() / 4))

export interface Context {
  readonly dataFolder: string
  readonly clock: SteadyClock
  readonly log: Log
  readonly failpoints: Failpoints
  /** See `StagingLogOptions`; undefined but in tests, for which logs of thousands of commits are long. */
  readonly checkpointCommits: number | undefined
  readonly env: AppOptions['env']
  /** Not there when the product was opened with catalog `none`. */
  readonly store: CatalogStore
  /** Of the storage roots deployed when the context was opened or last deployed to. */
  folders(): Promise<Folders>
  openEngine(options?: { readonly valuesInErrors?: boolean }): Promise<Engine>
  /** `location`: absolute folder of a Delta table. */
  lakeStorage(location: string): ObjectStorage
  deltaTable(location: string): DeltaTable
  close(): Promise<void>
}

export function openContext(options: AppOptions): Context {
  const { dataFolder, env } = options
  const log = spelledLog({ dataFolder, env }, options.log)
  const clock = systemClock
  const failpoints = failpointsFromText(env['SLUICE_FAILPOINT'])
  const checkpointCommits = Number(env['SLUICE_CHECKPOINT_COMMITS'] ?? Number.NaN)
  const store =
    options.catalog === 'none'
      ? undefined
      : openSqliteStore({ dataFolder, clock, create: options.catalog === 'create' })
  const lakeStorage = (location: string): ObjectStorage =>
    createLocalStorage(location, {
      beforeLink: (path) => {
        if (path.includes('_delta_log')) failpoints.hit('delta.commit-linked')
      },
    })
  return {
    dataFolder,
    clock,
    log,
    failpoints,
    checkpointCommits: checkpointCommits >= 1 ? checkpointCommits : undefined,
    env,
    get store() {
      if (store === undefined) throw new SluiceError('INTERNAL_ERROR', 'opened without a catalog')
      return store
    },
    folders: async () => createFolders(dataFolder, (await store?.storageRoots()) ?? []),
    close: async () => await store?.close(),
    async openEngine({ valuesInErrors = false } = {}) {
      const temporaryFolder = join(dataFolder, 'tmp', `engine-${process.pid}`)
      await mkdir(temporaryFolder, { recursive: true }).catch((error: unknown) => {
        throw storageError('make', temporaryFolder, error)
      })
      // A large library, and commands that only look need none of it.
      const { openEngine } = await import('../engine/duckdb.ts')
      return await openEngine({
        memoryLimitBytes: engineMemoryBytes,
        mostMemoryBytes: mostEngineMemoryBytes,
        temporaryFolder,
        valuesInErrors,
      })
    },
    lakeStorage,
    deltaTable: (location) =>
      openDeltaTable({ storage: lakeStorage(location), root: '', clock, failpoints }),
  }
}
