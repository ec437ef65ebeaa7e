/**
 * Named steps between two writes. A test asks a child process to die, or to fail, at one of
 * them and then checks that nothing was lost; in production nobody listens.
 */
export const failpointNames = [
  /** Snapshot or change data files are durable, the manifest is not published. */
  'staging.data-durable',
  /** The manifest is published, the source not yet acknowledged. */
  'staging.manifest-published',
  /** The source was acknowledged. */
  'gateway.acknowledged',
  /** A snapshot point was taken and recorded, no chunk read. */
  'gateway.snapshot-started',
  /** A chunk of a snapshot is read and durable, and no manifest names it. */
  'gateway.snapshot-chunk-staged',
  /** All chunks of a snapshot are staged, `snapshot finished` is not. */
  'gateway.snapshot-chunks-staged',
  /** The slot exists, nothing is recorded about it. */
  'source.slot-created',
  /** Some of a transaction in progress waits on disk for its commit. */
  'source.transaction-spooled',
  /** All rows of such a transaction were delivered, its commit was not. */
  'source.transaction-replayed',
  /** The writer epoch is claimed, nothing is staged under it. */
  'staging.epoch-claimed',
  /** New data files of an update are in the table folder, no deletion vector is. */
  'destination.data-written',
  /** Data files and deletion vectors are durable, the Delta commit is not. */
  'destination.before-commit',
  /** The Delta commit is visible, nothing after it is done. */
  'destination.after-commit',
  /** Some tables of an update are committed, others are not. */
  'pipeline.between-tables',
  /** The commit's temporary file is durable, not linked. */
  'delta.commit-linked',
  /** A checkpoint file is written, `_last_checkpoint` is not. */
  'delta.checkpoint-written',
  /** A vacuum removed a file of a table; others that it found are still there. */
  'delta.vacuum-file-removed',
  /** A purge removed data files, not yet their manifests. */
  'staging.purge-data-removed',
  /** A log that begins afresh has its first manifest, and does not say yet that it begins there. */
  'staging.salvage-claimed',
  /** What a gateway made at its source is gone, the staging log does not say so. */
  'gateway.removed-at-source',
  /** The staging log says that the gateway was removed, the catalog still has it. */
  'gateway.removal-recorded',
] as const

export type FailpointName = (typeof failpointNames)[number]

/** Called at each named step. Production passes `noFailpoints`. */
export interface Failpoints {
  hit(name: FailpointName): void
}

export const noFailpoints: Failpoints = { hit: () => undefined }

/**
 * Reads `name` or `name:n` (the n-th time it is reached, from 1): there the process ends at once
 * with SIGKILL, as a power cut would end it.
 */
export function failpointsFromText(text: string | undefined): Failpoints {
  if (text === undefined || text === '') return noFailpoints
  const [name, count] = text.split(':')
  if (!failpointNames.some((known) => known === name)) {
    throw new RangeError(`unknown failpoint "${text}"`)
  }
  let left = count === undefined ? 1 : Number(count)
  return {
    hit(reached) {
      if (reached === name && --left === 0) process.kill(process.pid, 'SIGKILL')
    },
  }
}
