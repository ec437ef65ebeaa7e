/** The copies of tables that a source begins and goes on with, and what they share. */
import type {
  BeginSnapshotOptions,
  ResumedSnapshot,
  TableSnapshot,
  UnfinishedCopy,
} from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import { discoverById } from './discover.ts'
import { IdleSessions } from './idle-sessions.ts'
import { expectPartitionsCapturable } from './partition-requirements.ts'
import type { PartitionTree } from './partition-tree.ts'
import type { PublicationGuard } from './publication-guard.ts'
import {
  beginTableSnapshot,
  resumeTableSnapshot,
  type SnapshotContext,
  type SnapshotRequest,
  unseenBefore,
} from './snapshot.ts'
import { expectCapturable } from './table-requirements.ts'

type Own = 'sessions' | 'serverVersion' | 'isStandby'

export interface TableCopiesOptions extends Omit<SnapshotContext, Own> {
  readonly publication: Pick<PublicationGuard, 'expectPublished' | 'sinceOf'>
  readonly onPartitions: (tree: PartitionTree) => Promise<void>
  readonly server: () => Promise<{ readonly version: number; readonly isStandby: boolean }>
}

export class TableCopies {
  readonly #options: TableCopiesOptions
  readonly #sessions = new IdleSessions()
  #unseenBefore: bigint | undefined

  constructor(options: TableCopiesOptions) {
    this.#options = options
  }

  async begin(table: SourceTable, options: BeginSnapshotOptions): Promise<TableSnapshot> {
    const request = await this.#request(table, options)
    return await beginTableSnapshot(await this.#context(), request)
  }

  async resume(
    table: SourceTable,
    copy: UnfinishedCopy,
    options: BeginSnapshotOptions,
  ): Promise<ResumedSnapshot> {
    const request = await this.#request(table, options)
    return await resumeTableSnapshot(await this.#context(), request, copy)
  }

  close(): void {
    this.#sessions.close()
  }

  async #context(): Promise<SnapshotContext> {
    const { version: serverVersion, isStandby } = await this.#options.server()
    return { ...this.#options, serverVersion, isStandby, sessions: this.#sessions }
  }

  /** What has no identity was left out; to publish it is not what mends that. */
  async #expectPublished(table: SourceTable): Promise<void> {
    const { publication, control } = this.#options
    try {
      publication.expectPublished(table)
    } catch (error) {
      const [now] = await discoverById(control, [table.id], this.#options)
      if (now !== undefined) {
        expectCapturable(now, table.schema.identity)
        await expectPartitionsCapturable(control, now.table)
      }
      throw error
    }
  }

  async #request(table: SourceTable, options: BeginSnapshotOptions): Promise<SnapshotRequest> {
    const { publication, control } = this.#options
    await this.#expectPublished(table)
    const unseen = (this.#unseenBefore ??= await unseenBefore(control))
    const published = publication.sinceOf(table.id)
    const since = published > unseen ? published : unseen
    return { table, ...options, since, onPartitions: (tree) => this.#options.onPartitions(tree) }
  }
}
