/**
 * Requests to copy tables anew, from the catalog to the gateways. A request stays in the catalog
 * until the staged log shows that the gateway has begun to follow it, or the gateway says why it can
 * not: a process that dies before leaves it to the next one.
 */
import type { DestinationRecord } from '../catalog/destination-record.ts'
import { formatTableName } from '../catalog/names.ts'
import type { CommitNumber, Manifest } from '../staging/manifest.ts'
import { manifestsAfter, newestCommit } from '../staging/read-log.ts'
import type { Context } from './context.ts'
import type { Lane } from './runtime.ts'

/** Whether a manifest after `since` gives the table's copy up or begins another. Pure. */
export function isRefreshOnRecord(
  manifests: readonly Pick<Manifest, 'commit' | 'entries'>[],
  tableId: string,
  since: CommitNumber,
): boolean {
  return manifests.some(
    ({ commit, entries }) =>
      commit > since &&
      entries.some(
        (entry) =>
          entry.table_id === tableId && (entry.kind === 'gap' || entry.kind === 'snapshot_started'),
      ),
  )
}

export class RefreshRequests {
  readonly #context: Context
  /** What this process has asked its gateways for, and the staged commit at that time. */
  readonly #asked = new Map<string, CommitNumber>()

  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Hands new requests for tables of `lanes` to their gateways and forgets those that are on record.
   * `more` are destinations asked for besides the catalog's. Requests for tables of other gateways
   * stay for whoever runs those.
   */
  async follow(lanes: Iterable<Lane>, more: readonly string[] = []): Promise<void> {
    const { store } = this.#context
    const requested = new Set([...(await store.refreshRequests()).map(formatTableName), ...more])
    if (requested.size === 0) return
    const records = await store.destinations()
    for (const lane of lanes) {
      const ids = new Set(lane.pipelines.map(({ definition }) => definition.id))
      const meant = records.filter(
        ({ name, pipelineId }) => ids.has(pipelineId) && requested.has(formatTableName(name)),
      )
      if (meant.length > 0) await this.#followIn(lane, meant)
    }
  }

  async #followIn(lane: Lane, meant: readonly DestinationRecord[]): Promise<void> {
    const { storage, gateway } = lane.gateway
    const sinces = meant.flatMap(({ name }) => this.#asked.get(formatTableName(name)) ?? [])
    // Once for all of them: there may be a thousand.
    const newest = sinces.length < meant.length ? await newestCommit(storage) : -1
    const staged = sinces.length > 0 ? await manifestsAfter(storage, Math.min(...sinces)) : []
    for (const { name, tableId } of meant) {
      const destination = formatTableName(name)
      const since = this.#asked.get(destination)
      if (since === undefined) {
        this.#asked.set(destination, newest)
        gateway.refresh([tableId])
      } else if (
        gateway.refusal(tableId) !== undefined ||
        isRefreshOnRecord(staged, tableId, since)
      ) {
        await this.#context.store.clearRefresh(name)
        this.#asked.delete(destination)
      }
    }
  }
}
