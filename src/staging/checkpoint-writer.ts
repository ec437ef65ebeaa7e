/**
 * Writes a checkpoint of the log every so many commits, beside the publishing. Whatever comes of it
 * no publish waits for it or fails by it, and one that was stopped leaves the former.
 *
 * No fence is needed: the state of a gateway that was overtaken ends with a manifest that it
 * published itself, so it is true of the log whoever reads it, or does not fit and is passed over.
 */
import { asSluiceError } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { encodeCheckpoint } from './checkpoint-codec.ts'
import type { CheckpointFold } from './checkpoint.ts'
import { checkpointPath } from './layout.ts'
import type { Manifest } from './manifest.ts'

/** A shorter log is read whole in a moment. */
export const defaultCheckpointCommits = 4096

/** A disk that was full may be so for a while. */
const retryShare = 8

export interface CheckpointWriterOptions {
  readonly storage: ObjectStorage
  readonly log: Log
  /** Commits from one to the next; `defaultCheckpointCommits` unless given. */
  readonly checkpointCommits?: number
}

export class CheckpointWriter {
  readonly #options: CheckpointWriterOptions
  readonly #fold: CheckpointFold
  readonly #every: number
  /** Commits until the next. */
  #left: number
  #writing: Promise<void> | undefined

  /** `fold` was told the log already. */
  constructor(fold: CheckpointFold, options: CheckpointWriterOptions) {
    this.#fold = fold
    this.#options = options
    this.#every = options.checkpointCommits ?? defaultCheckpointCommits
    this.#left = this.#every - fold.told
  }

  /** `newest` is published and in the fold; `seal` is that of its file. */
  published(newest: Manifest, seal: number): void {
    this.#left--
    this.writeIfDue(newest, seal)
  }

  writeIfDue(newest: Manifest, seal: number): void {
    if (this.#left > 0 || this.#writing !== undefined) return
    this.#left = this.#every
    this.#writing = this.#write(newest, seal).finally(() => {
      this.#writing = undefined
    })
  }

  /** What was begun is written, or given up. */
  async settled(): Promise<void> {
    await this.#writing
  }

  /** What is to be written is settled before anything is awaited: the fold goes on meanwhile. */
  async #write(newest: Manifest, seal: number): Promise<void> {
    const { storage, log } = this.#options
    const { commit } = newest
    try {
      const bytes = encodeCheckpoint(this.#fold.checkpoint(newest, seal))
      await storage.write(checkpointPath, bytes)
      log.debug('checkpoint of the staging log written', { commit, bytes: bytes.byteLength })
    } catch (error) {
      this.#left = Math.ceil(this.#every / retryShare)
      const { code, message } = asSluiceError(error)
      log.debug('no checkpoint of the staging log was written', { commit, code, reason: message })
    }
  }
}
