/** The commit point: one put-if-absent of `_delta_log/<version>.json`. */
import { randomUUID } from 'node:crypto'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Action } from './actions.ts'
import { formatActions, parseActions } from './action-json.ts'

export type PutOutcome =
  | { readonly kind: 'committed' }
  /** Somebody else's commit has the path. */
  | { readonly kind: 'taken' }

export interface CommitRequest {
  readonly path: string
  readonly actions: readonly Action[]
  readonly nowMs: number
}

/**
 * Random per attempt: when the answer to a write is lost, or a storage client repeats its own
 * write and then meets it, the file's `commitInfo.txnId` says whose commit it is.
 */
export async function putCommit(
  storage: ObjectStorage,
  { path, actions, nowMs }: CommitRequest,
): Promise<PutOutcome> {
  const txnId = randomUUID()
  const bytes = new TextEncoder().encode(formatActions(withCommitInfo(actions, { txnId, nowMs })))
  try {
    if (await storage.writeIfAbsent(path, bytes)) return { kind: 'committed' }
  } catch (error) {
    const found = await writerOf(storage, path)
    if (found === undefined) throw error
    return found === txnId ? { kind: 'committed' } : { kind: 'taken' }
  }
  return (await writerOf(storage, path)) === txnId ? { kind: 'committed' } : { kind: 'taken' }
}

/** `commitInfo` first, completed; what the caller gave wins, but for the identity of the attempt. */
function withCommitInfo(
  actions: readonly Action[],
  { txnId, nowMs }: { readonly txnId: string; readonly nowMs: number },
): Action[] {
  const given = actions.find((action) => 'commitInfo' in action)?.commitInfo ?? {}
  const commitInfo = { timestamp: nowMs, operation: 'WRITE', engineInfo: 'Sluice', ...given, txnId }
  return [{ commitInfo }, ...actions.filter((action) => !('commitInfo' in action))]
}

/** txnId of the commit at `path`, '' when it has none, undefined when there is no such commit. */
async function writerOf(storage: ObjectStorage, path: string): Promise<string | undefined> {
  const bytes = await storage.read(path)
  if (bytes === undefined) return undefined
  for (const action of parseActions(new TextDecoder().decode(bytes), path)) {
    const txnId = 'commitInfo' in action ? action.commitInfo['txnId'] : undefined
    if (typeof txnId === 'string') return txnId
  }
  return ''
}
