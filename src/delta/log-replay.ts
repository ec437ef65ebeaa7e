/** Actions → state. Pure. PROTOCOL.md, "Action Reconciliation". */
import { SluiceError } from '../base/errors.ts'
import type { Action, AddFile, DomainMetadata, Metadata, Protocol, RemoveFile } from './actions.ts'
import { logicalFileKey } from './data-path.ts'
import type { DeltaSnapshot, DeltaVersion } from './delta-table.ts'
import { deletedFileRetentionMs } from './table-properties.ts'

/** State under construction. Owned by one replay; never shared. */
export interface ReplayState {
  protocol: Protocol | undefined
  metadata: Metadata | undefined
  readonly files: Map<string, AddFile>
  readonly tombstones: Map<string, RemoveFile>
  readonly txnVersions: Map<string, number>
  readonly domains: Map<string, DomainMetadata>
  /** `commitInfo.inCommitTimestamp` of the last commit applied. */
  inCommitTimestamp: number | undefined
}

/** An empty state, or one that continues `base` without touching it. */
export function startReplay(base?: DeltaSnapshot): ReplayState {
  return {
    protocol: base?.protocol,
    metadata: base?.metadata,
    files: new Map(base?.files),
    tombstones: new Map(base?.tombstones),
    txnVersions: new Map(base?.txnVersions),
    domains: new Map(base?.domains),
    inCommitTimestamp: undefined,
  }
}

/** Applies one checkpoint or one commit; commits come in ascending order of version. */
export function applyActions(state: ReplayState, actions: Iterable<Action>): void {
  state.inCommitTimestamp = undefined
  for (const action of actions) applyAction(state, action)
}

function applyAction(state: ReplayState, action: Action): void {
  if ('add' in action) {
    const key = logicalFileKey(action.add)
    state.files.set(key, action.add)
    state.tombstones.delete(key)
  } else if ('remove' in action) {
    const key = logicalFileKey(action.remove)
    state.files.delete(key)
    state.tombstones.set(key, action.remove)
  } else if ('txn' in action) state.txnVersions.set(action.txn.appId, action.txn.version)
  else if ('metaData' in action) state.metadata = action.metaData
  else if ('protocol' in action) state.protocol = action.protocol
  else if ('domainMetadata' in action) {
    const { domain, removed } = action.domainMetadata
    if (removed) state.domains.delete(domain)
    else state.domains.set(domain, action.domainMetadata)
  } else {
    const timestamp = action.commitInfo['inCommitTimestamp']
    if (typeof timestamp === 'number') state.inCommitTimestamp = timestamp
  }
}

export interface FinishOptions {
  readonly version: DeltaVersion
  /** Modification time of the commit's file, ms. */
  readonly modifiedAtMs: number
  readonly nowMs: number
  /** For messages. */
  readonly root: string
}

/** The snapshot of a replayed state, which must not be used further. Throws DELTA_LOG_CORRUPT. */
export function finishReplay(state: ReplayState, options: FinishOptions): DeltaSnapshot {
  const { protocol, metadata } = state
  if (protocol === undefined || metadata === undefined) {
    const what = protocol === undefined ? 'protocol' : 'metadata'
    const text = `the log of ${options.root} has no ${what} up to version ${options.version}`
    throw new SluiceError('DELTA_LOG_CORRUPT', text)
  }
  const expiry = options.nowMs - deletedFileRetentionMs(metadata)
  for (const [key, remove] of state.tombstones) {
    if ((remove.deletionTimestamp ?? 0) < expiry) state.tombstones.delete(key)
  }
  return {
    version: options.version,
    protocol,
    metadata,
    files: state.files,
    tombstones: state.tombstones,
    txnVersions: state.txnVersions,
    domains: state.domains,
    committedAtMs: state.inCommitTimestamp ?? Math.floor(options.modifiedAtMs),
  }
}
