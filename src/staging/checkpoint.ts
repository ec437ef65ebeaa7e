/**
 * A checkpoint of the staging log: what its readers make of all manifests up to one of them, so that
 * the next of them need not read those again. It is a cache and never the truth: one that is missing,
 * damaged, of another version or of another log is passed over, and the log is read whole.
 */
import type { ObjectStorage } from '../storage/object-storage.ts'
import { decodeCheckpoint } from './checkpoint-codec.ts'
import { CopyFiles, type CopyFilesState } from './copy-files.ts'
import { checkpointPath, manifestPath } from './layout.ts'
import type { LogBase } from './log-base.ts'
import { decodeManifest } from './manifest-codec.ts'
import type { CommitNumber, Manifest } from './manifest.ts'
import { NewestWork, type NewestWorkState } from './newest-work.ts'
import type { LogSink } from './read-log.ts'
import { RecoveredLog, type RecoveredState } from './recovered-log.ts'
import { sealOf } from './sealed-json.ts'
import { type StagedState, StagedTables } from './staged-tables.ts'

export interface Checkpoint {
  /** The newest manifest in it, and its seal: tells it from any other of that number. */
  readonly commit: CommitNumber
  readonly seal: number
  /** As of that manifest, which may leave it out. */
  readonly incarnation: string
  /** For a gateway. */
  readonly recovered: RecoveredState
  readonly files: CopyFilesState
  /** For a pipeline: everything that can be read again is forgotten. */
  readonly staged: StagedState
  /** For who looks. */
  readonly work: NewestWorkState
}

/** A checkpoint that fits the log as it stands, and the manifest it ends with. */
export interface FittingCheckpoint {
  readonly checkpoint: Checkpoint
  readonly last: Manifest
}

/**
 * undefined when there is none that the log goes on from: none at all, one that can not be read, or
 * one whose newest manifest is gone or is another one now. Throws STORAGE_* as any reading.
 */
export async function readCheckpoint(
  storage: ObjectStorage,
  base: LogBase,
): Promise<FittingCheckpoint | undefined> {
  const bytes = await storage.read(checkpointPath).catch(() => undefined)
  const checkpoint = bytes === undefined ? undefined : decodeCheckpoint(bytes)
  // A log that was begun afresh, or purged as far as that, has said more in its base.
  if (checkpoint === undefined || checkpoint.commit < base.first) return undefined
  const { commit, seal, incarnation } = checkpoint
  const manifest = await storage.read(manifestPath(commit))
  if (manifest === undefined || sealOf(manifest) !== seal) return undefined
  const stored = decodeManifest(manifest, commit, storage.url)
  return { checkpoint, last: { ...stored, incarnation } }
}

/** Manifests after which what can be read again is let go of. */
const forgetCommits = 256

/** Gathers what the next checkpoint holds. */
export class CheckpointFold implements LogSink {
  readonly recovered = new RecoveredLog()
  readonly #files = new CopyFiles()
  readonly #staged = new StagedTables()
  readonly #work = new NewestWork()
  #told = 0

  begin(base: LogBase): void {
    this.recovered.begin(base)
    this.#files.begin(base)
    this.#staged.begin(base)
    this.#work.begin()
    this.#told = 0
  }

  resume(checkpoint: Checkpoint, base: LogBase): void {
    const { commit, recovered, files, staged, work } = checkpoint
    this.recovered.restore(recovered, commit)
    this.#files.restore(files)
    this.#staged.restore(staged, { commit, base })
    this.#work.restore(work, commit)
    this.#told = 0
  }

  take(manifest: Manifest): void {
    this.recovered.take(manifest)
    this.#files.take(manifest)
    this.#staged.take(manifest)
    this.#work.take(manifest)
    this.#told++
    if (this.#told % forgetCommits === 0) this.#staged.forgetAll()
  }

  /** Manifests since the beginning, or since the checkpoint it went on from. */
  get told(): number {
    return this.#told
  }

  /** As of `newest`, the manifest that was told last; `seal` is that of its file. */
  checkpoint(newest: Manifest, seal: number): Checkpoint {
    const { commit, incarnation } = newest
    return {
      commit,
      seal,
      incarnation,
      recovered: this.recovered.state(),
      files: this.#files.state(),
      staged: this.#staged.state(),
      work: this.#work.state(),
    }
  }
}
