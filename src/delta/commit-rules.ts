/** What must hold for the actions of one commit, checked before anything is written. */
import { SluiceError } from '../base/errors.ts'
import type { Action, Metadata, Protocol } from './actions.ts'
import { logicalFileKey } from './data-path.ts'
import type { DeltaSnapshot } from './delta-table.ts'
import { assertWritable, mayWriteDeletionVectors } from './protocol.ts'
import { parseDeltaStats } from './statistics.ts'
import { isEnabled } from './table-properties.ts'

/**
 * Throws DELTA_COMMIT_INVALID or DELTA_UNSUPPORTED_FEATURE. PROTOCOL.md, "Actions": at most one
 * protocol and one metaData, one txn per application, one add and one remove per path.
 */
export function checkCommit(
  base: DeltaSnapshot | undefined,
  actions: readonly Action[],
  root: string,
): void {
  const { protocol, metadata } = stateAfter(base, actions, root)
  assertWritable(protocol, metadata, root)
  if (base !== undefined) assertWritable(base.protocol, base.metadata, root)
  const vectorsAllowed = mayWriteDeletionVectors(protocol, metadata)
  const seen = new Set<string>()
  const once = (what: string): void => {
    if (seen.has(what)) throw invalid(root, `${what} twice`)
    seen.add(what)
  }
  for (const action of actions) {
    if ('add' in action) {
      const { add } = action
      once(`add ${add.path}`)
      if (add.deletionVector === undefined) continue
      if (!vectorsAllowed)
        throw invalid(root, `a deletion vector on ${add.path}, which the table forbids`)
      if (parseDeltaStats(add.stats) === undefined) {
        throw invalid(root, `a deletion vector on ${add.path}, which has no numRecords`)
      }
    } else if ('remove' in action) {
      const { remove } = action
      once(`remove ${remove.path}`)
      if (base?.files.has(logicalFileKey(remove)) !== true) {
        throw invalid(
          root,
          `remove ${remove.path}, which with this deletion vector is not in the table`,
        )
      }
      if (remove.dataChange && isEnabled(metadata, 'delta.appendOnly')) {
        throw invalid(root, `remove ${remove.path} from an append-only table`)
      }
    } else if ('txn' in action) once(`txn ${action.txn.appId}`)
    else if ('domainMetadata' in action) once(`domainMetadata ${action.domainMetadata.domain}`)
    else once(Object.keys(action)[0] ?? '')
  }
}

function stateAfter(
  base: DeltaSnapshot | undefined,
  actions: readonly Action[],
  root: string,
): { readonly protocol: Protocol; readonly metadata: Metadata } {
  let protocol = base?.protocol
  let metadata = base?.metadata
  for (const action of actions) {
    if ('protocol' in action) protocol = action.protocol
    if ('metaData' in action) metadata = action.metaData
  }
  if (protocol === undefined || metadata === undefined) {
    throw invalid(root, 'a first version without protocol and metaData')
  }
  return { protocol, metadata }
}

function invalid(root: string, what: string): SluiceError {
  return new SluiceError('DELTA_COMMIT_INVALID', `a commit to ${root} has ${what}`)
}
