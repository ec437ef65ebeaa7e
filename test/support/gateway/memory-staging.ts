/** A staging log over a disk of plain objects: no Parquet, no JSON, only the order of things. */
import { SluiceError } from '../../../src/base/errors.ts'
import type { ColumnBatch } from '../../../src/columnar/column-batch.ts'
import type { TableSchema } from '../../../src/source/table-schema.ts'
import { emptyLogBase } from '../../../src/staging/log-base.ts'
import type { Manifest } from '../../../src/staging/manifest.ts'
import { RecoveredLog } from '../../../src/staging/recovered-log.ts'
import type { StagedFileWriter, StagingLog } from '../../../src/staging/staging-log.ts'

import { tell } from '../staging-fixtures.ts'

export class StagingDisk {
  readonly manifests: Manifest[] = []
  readonly files = new Map<string, readonly ColumnBatch[]>()
  readonly schemas = new Map<string, TableSchema>()
}

export interface MemoryStagingOptions {
  readonly disk: StagingDisk
  /** Called before anything changes or is looked at; may throw. */
  readonly step?: (name: string) => Promise<void>
  readonly nowMs?: () => number
}

export function openMemoryStaging({ disk, step, nowMs }: MemoryStagingOptions): StagingLog {
  const before = step ?? (() => Promise.resolve())
  const head = (): Pick<Manifest, 'format' | 'commit' | 'writer' | 'created_at_ms'> => ({
    format: 1,
    commit: disk.manifests.length,
    writer: `w${epoch}`,
    created_at_ms: nowMs?.() ?? 0,
  })
  const last = disk.manifests.at(-1)
  const epoch = (last?.epoch ?? 0) + 1
  disk.manifests.push({
    ...head(),
    epoch,
    incarnation: last?.incarnation ?? '',
    position_before: last?.position_after ?? '',
    position_after: last?.position_after ?? '',
    entries: [],
  })
  return {
    epoch,
    get recovered() {
      return tell(new RecoveredLog(), emptyLogBase, disk.manifests)
    },
    async publish(draft) {
      await before('before publish')
      if (disk.manifests.at(-1)?.epoch !== epoch) throw new SluiceError('STAGING_FENCED', 'fenced')
      const manifest: Manifest = { ...head(), epoch, ...draft }
      disk.manifests.push(manifest)
      await before('published')
      return manifest
    },
    async writeSchema(tableId, version, schema) {
      await before('schema')
      const path = `${tableId}/${version}`
      const present = disk.schemas.get(path)
      if (present !== undefined && JSON.stringify(present) !== JSON.stringify(schema)) {
        throw new SluiceError('STAGING_SCHEMA_CONFLICT', path)
      }
      disk.schemas.set(path, schema)
    },
    async readSchema(tableId, version) {
      const schema = disk.schemas.get(`${tableId}/${version}`)
      if (schema === undefined) throw new SluiceError('STAGING_SCHEMA_MISSING', tableId)
      return schema
    },
    openDataFile: async (path, columns) => openFile(disk, path, columns.length, before),
    close: async () => undefined,
  }
}

function openFile(
  disk: StagingDisk,
  path: string,
  columnCount: number,
  before: (name: string) => Promise<void>,
): StagedFileWriter {
  if (disk.files.has(path)) throw new Error(`${path} is there already`)
  const batches: ColumnBatch[] = []
  let isOpen = true
  let bytes = 0
  return {
    path,
    async write(batch) {
      await before('write')
      if (!isOpen) throw new Error(`${path} is closed`)
      if (batch.columns.length !== columnCount) throw new Error(`${path}: other columns`)
      batches.push(batch)
      bytes += batch.byteLength
      return bytes
    },
    async close() {
      await before('close')
      isOpen = false
      disk.files.set(path, batches)
      const rows = batches.reduce((sum, batch) => sum + batch.rowCount, 0)
      return { path, rows, bytes, crc32: 0 }
    },
    async abort() {
      isOpen = false
    },
  }
}
