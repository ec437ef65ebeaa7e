/** One Delta table, opened: keeps its latest state and reads only what is new. */
import { randomUUID } from 'node:crypto'
import { systemClock, type Clock } from '../base/clock.ts'
import { SluiceError } from '../base/errors.ts'
import { noFailpoints, type Failpoints } from '../base/failpoint.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Action, AddFile, DeletionVectorDescriptor } from './actions.ts'
import { writeCheckpoint } from './checkpoint-write.ts'
import { checkCommit } from './commit-rules.ts'
import { putCommit } from './committer.ts'
import { storagePathOf } from './data-path.ts'
import {
  decodeFramedVector,
  decodeInlineVector,
  encodeVectorFile,
  framedRange,
  relativeVectorPath,
  vectorFileName,
} from './deletion-vector.ts'
import type { CommitOutcome, DeltaSnapshot, DeltaTable, DeltaVersion } from './delta-table.ts'
import { cleanUpLog } from './log-cleanup.ts'
import { commitPath, deltaVersion } from './log-path.ts'
import {
  listLog,
  readCommit,
  readNewCommits,
  readWholeLog,
  snapshotAfterCommit,
  type LogReader,
  type ReadSnapshot,
} from './log-reader.ts'
import { assertReadable } from './protocol.ts'
import { checkpointInterval } from './table-properties.ts'

export interface OpenDeltaTableOptions {
  readonly storage: ObjectStorage
  /** Folder of the table inside `storage`, without a slash at the end; '' for the root itself. */
  readonly root: string
  readonly clock?: Clock
  readonly failpoints?: Failpoints
  /**
   * `later`: a commit resolves without waiting for the checkpoint that follows it; the table's next
   * commit waits for it, and so does `settled`. Default: with the commit.
   */
  readonly checkpoints?: 'with-commit' | 'later'
  /** Told when a checkpoint, or the cleanup after it, failed; the commit before it stands. */
  readonly onCheckpointFailed?: (error: unknown, version: DeltaVersion) => void
}

/** Cleaning up lists the whole log: rarely, however often checkpoints are written. */
const cleanUpEveryMs = 3_600_000

/** Opens without reading. Calls may overlap; reads of the log are done one after another. */
export function openDeltaTable(options: OpenDeltaTableOptions): DeltaTable {
  return new OpenedDeltaTable(options)
}

class OpenedDeltaTable implements DeltaTable {
  readonly root: string
  readonly storage: ObjectStorage
  readonly #options: OpenDeltaTableOptions
  readonly #log: LogReader
  #latest: ReadSnapshot | undefined
  #cleanedUpAtMs = Number.NEGATIVE_INFINITY
  /** The last refresh asked for: refreshes queue behind it. */
  #refreshing: Promise<unknown> = Promise.resolve()
  /** Checkpoint that is being written; never rejects. */
  #checkpointing: Promise<void> = Promise.resolve()

  constructor(options: OpenDeltaTableOptions) {
    this.root = options.root
    this.storage = options.storage
    this.#options = options
    const clock = options.clock ?? systemClock
    this.#log = { storage: this.storage, root: this.root, nowMs: () => clock.nowMs() }
  }

  async snapshot(version?: DeltaVersion): Promise<DeltaSnapshot | undefined> {
    const latest = await this.#refresh()
    let snapshot = latest?.snapshot
    if (version !== undefined && version !== snapshot?.version) {
      snapshot = (await readWholeLog(this.#log, version))?.snapshot
    }
    if (snapshot !== undefined) assertReadable(snapshot.protocol, this.root)
    return snapshot
  }

  async #refresh(): Promise<ReadSnapshot | undefined> {
    const before = this.#refreshing
    const read = (async () => {
      await before.catch(() => undefined)
      const known = this.#latest
      const next = known === undefined ? undefined : await readNewCommits(this.#log, known)
      const read = next ?? (await readWholeLog(this.#log))
      const now = this.#latest
      // A commit of our own may have gone further in the meantime.
      if (now !== known && read !== undefined && now !== undefined) {
        if (now.snapshot.version > read.snapshot.version) return now
      }
      this.#latest = read
      return read
    })()
    this.#refreshing = read
    return read
  }

  async commit(
    base: DeltaSnapshot | undefined,
    actions: readonly Action[],
  ): Promise<CommitOutcome> {
    await this.#checkpointing
    if (await this.#isOutrun(base)) return this.#conflict(base)
    checkCommit(base, actions, this.root)
    const version = deltaVersion(base === undefined ? 0n : base.version + 1n)
    const outcome = await putCommit(this.storage, {
      path: commitPath(this.root, version),
      actions,
      nowMs: this.#log.nowMs(),
    })
    if (outcome.kind === 'taken') return this.#conflict(base)
    const read = await snapshotAfterCommit(this.#log, base, { version, actions })
    if (this.#latest === undefined || this.#latest.snapshot.version < version) this.#latest = read
    this.#checkpointing = this.#checkpointWhenDue(read.snapshot)
    if (this.#options.checkpoints !== 'later') await this.#checkpointing
    return { kind: 'committed', snapshot: read.snapshot }
  }

  settled(): Promise<void> {
    return this.#checkpointing
  }

  /**
   * True when the table is known to have gone past `base`. Put-if-absent alone would not notice
   * when the next version was written and has been cleaned away since: then `base`'s own commit is
   * gone too.
   */
  async #isOutrun(base: DeltaSnapshot | undefined): Promise<boolean> {
    const isKept =
      base !== undefined &&
      (await this.storage.stat(commitPath(this.root, base.version))) !== undefined
    const latest = isKept ? this.#latest?.snapshot : await this.snapshot()
    return latest !== undefined && (base === undefined || latest.version > base.version)
  }

  async #conflict(base: DeltaSnapshot | undefined): Promise<CommitOutcome> {
    const snapshot = await this.snapshot()
    if (snapshot === undefined) {
      const text = `the log of ${this.root} vanished while version was committed`
      throw new SluiceError('DELTA_LOG_GAP', text)
    }
    const winners: Action[] = []
    const first = base === undefined ? 0n : base.version + 1n
    for (let version = first; version <= snapshot.version; version++) {
      winners.push(...((await readCommit(this.#log, commitPath(this.root, version))) ?? []))
    }
    return { kind: 'conflict', snapshot, winners }
  }

  async #checkpointWhenDue(snapshot: DeltaSnapshot): Promise<void> {
    const { version } = snapshot
    if (version === 0n || version % checkpointInterval(snapshot.metadata) !== 0n) return
    try {
      await writeCheckpoint(this, snapshot, this.#options.failpoints ?? noFailpoints)
      const nowMs = this.#log.nowMs()
      if (nowMs - this.#cleanedUpAtMs < cleanUpEveryMs) return
      this.#cleanedUpAtMs = nowMs
      await cleanUpLog(this, snapshot, nowMs)
    } catch (error) {
      this.#options.onCheckpointFailed?.(error, version)
    }
  }

  async readDeletionVector(file: AddFile): Promise<BigUint64Array> {
    const descriptor = file.deletionVector
    if (descriptor === undefined) return new BigUint64Array(0)
    if (descriptor.storageType === 'i') return decodeInlineVector(descriptor)
    const path =
      descriptor.storageType === 'u'
        ? this.#inTable(relativeVectorPath(descriptor))
        : storagePathOf(this, descriptor.pathOrInlineDv)
    const frame = await this.storage.readRange(path, ...framedRange(descriptor))
    return decodeFramedVector(frame, descriptor)
  }

  async writeDeletionVectors(
    vectors: readonly BigUint64Array[],
  ): Promise<readonly DeletionVectorDescriptor[]> {
    if (vectors.length === 0) return []
    if (vectors.some((vector) => vector.length === 0)) {
      const text = `an empty deletion vector for ${this.root}`
      throw new SluiceError('DELTA_COMMIT_INVALID', text)
    }
    const uuid = randomUUID()
    const { bytes, descriptors } = encodeVectorFile(vectors, uuid)
    await this.storage.write(this.#inTable(vectorFileName(uuid)), bytes)
    return descriptors
  }

  async versions(): Promise<readonly DeltaVersion[]> {
    const files = await listLog(this.#log, 0n)
    return files.filter((file) => file.kind === 'commit').map((file) => file.version)
  }

  #inTable(path: string): string {
    return this.root === '' ? path : `${this.root}/${path}`
  }
}
