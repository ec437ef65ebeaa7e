/** What a stream looks at while it runs, beside the log. */
import type { Log } from '../../observe/log.ts'
import type { PartitionGuard } from './partition-guard.ts'
import type { PublicationGuard } from './publication-guard.ts'

export interface LookedAt {
  readonly publication: Pick<PublicationGuard, 'watch'>
  readonly partitions: Pick<PartitionGuard, 'look'>
  readonly log: Log
}

/** Publication and partitions; what was found is taken from them as gaps. Never throws. */
export async function lookAtParts({ publication, partitions, log }: LookedAt): Promise<void> {
  for (const outcome of await Promise.allSettled([publication.watch(), partitions.look()])) {
    if (outcome.status === 'fulfilled') continue
    const error = String(outcome.reason)
    log.warn('publication and partitions could not be looked at', { error })
  }
}
