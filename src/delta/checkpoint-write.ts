/** Snapshot → classic single-file V1 checkpoint. PROTOCOL.md, "Checkpoints" and "Checkpoint Schema". */
import type { Failpoints } from '../base/failpoint.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Action } from './actions.ts'
import type { DeltaSnapshot } from './delta-table.ts'
import { checkpointPath, lastCheckpointPath } from './log-path.ts'
import type { RecordFields, RecordType } from './record-columns.ts'
import { encodeRecords } from './record-parquet.ts'

const boolean: RecordType = { kind: 'boolean' }
const int32: RecordType = { kind: 'int32' }
const int64: RecordType = { kind: 'int64' }
const string: RecordType = { kind: 'string' }
const list: RecordType = { kind: 'list' }
const map: RecordType = { kind: 'map' }
const struct = (fields: RecordFields): RecordType => ({ kind: 'struct', fields })

const deletionVector = struct({
  storageType: string,
  pathOrInlineDv: string,
  offset: int32,
  sizeInBytes: int32,
  cardinality: int64,
})

const checkpointFields: RecordFields = {
  txn: struct({ appId: string, version: int64, lastUpdated: int64 }),
  add: struct({
    path: string,
    partitionValues: map,
    size: int64,
    modificationTime: int64,
    dataChange: boolean,
    tags: map,
    deletionVector,
    baseRowId: int64,
    defaultRowCommitVersion: int64,
    clusteringProvider: string,
    stats: string,
  }),
  remove: struct({
    path: string,
    deletionTimestamp: int64,
    dataChange: boolean,
    extendedFileMetadata: boolean,
    partitionValues: map,
    size: int64,
    deletionVector,
  }),
  metaData: struct({
    id: string,
    name: string,
    description: string,
    format: struct({ provider: string, options: map }),
    schemaString: string,
    partitionColumns: list,
    configuration: map,
    createdTime: int64,
  }),
  protocol: struct({
    minReaderVersion: int32,
    minWriterVersion: int32,
    readerFeatures: list,
    writerFeatures: list,
  }),
  domainMetadata: struct({ domain: string, configuration: string, removed: boolean }),
}

/** The actions of a checkpoint: everything that replay would keep, and nothing else. */
function checkpointActions(snapshot: DeltaSnapshot): Action[] {
  const actions: Action[] = [{ protocol: snapshot.protocol }, { metaData: snapshot.metadata }]
  for (const [appId, version] of snapshot.txnVersions) actions.push({ txn: { appId, version } })
  for (const domainMetadata of snapshot.domains.values()) actions.push({ domainMetadata })
  for (const remove of snapshot.tombstones.values()) {
    actions.push({ remove: { ...remove, dataChange: false } })
  }
  for (const add of snapshot.files.values()) actions.push({ add: { ...add, dataChange: false } })
  return actions
}

/**
 * Writes the checkpoint of `snapshot`, then the `_last_checkpoint` hint. Readers are right without
 * either, so a crash or a failure between the two costs them only time.
 */
export async function writeCheckpoint(
  table: { readonly storage: ObjectStorage; readonly root: string },
  snapshot: DeltaSnapshot,
  failpoints: Failpoints,
): Promise<void> {
  const { storage, root } = table
  const actions = checkpointActions(snapshot)
  const bytes = await encodeRecords(checkpointFields, actions)
  await storage.write(checkpointPath(root, snapshot.version), bytes)
  failpoints.hit('delta.checkpoint-written')
  const hint = {
    version: Number(snapshot.version),
    size: actions.length,
    sizeInBytes: bytes.byteLength,
    numOfAddFiles: snapshot.files.size,
  }
  await storage.write(lastCheckpointPath(root), new TextEncoder().encode(JSON.stringify(hint)))
}
