/** Snapshot → classic single-file V1 checkpoint. PROTOCOL.md, "Checkpoints". */
import type { Failpoints } from '../base/failpoint.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { DeltaSnapshot } from './delta-table.ts'

export async function writeCheckpoint(
  _storage: ObjectStorage,
  _root: string,
  _work: { readonly snapshot: DeltaSnapshot; readonly failpoints: Failpoints },
): Promise<void> {}
