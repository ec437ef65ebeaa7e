/** How many rows of a destination are in quarantine, for `status`. */
import type { DestinationRecord } from '../catalog/destination-record.ts'
import { formatTableName } from '../catalog/names.ts'
import type { HeldBack } from '../cli/app.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { unfitPolicyOf } from '../destination/destination-state.ts'
import { isQuarantineOf, quarantineName } from '../destination/quarantine.ts'
import { liveRowsSql } from '../destination/read-table.ts'
import type { Engine } from '../engine/duckdb.ts'
import type { Context } from './context.ts'

/** One engine for all tables, opened when the first has such rows. */
export class HeldBackRows {
  readonly #context: Context
  #engine: Promise<Engine> | undefined

  constructor(context: Context) {
    this.#context = context
  }

  /** undefined: none, or the table has another policy and what it once held back is in it. */
  async of(record: DestinationRecord, snapshot: DeltaSnapshot): Promise<HeldBack | undefined> {
    if (unfitPolicyOf(snapshot) !== 'quarantine') return undefined
    const { name, pipelineId } = record
    const beside = { ...name, table: quarantineName(name.table) }
    const folders = await this.#context.folders()
    const quarantine = this.#context.deltaTable(folders.table(beside))
    const held = await quarantine.snapshot()
    const owner = { pipelineId, name: formatTableName(name) }
    if (held === undefined || held.files.size === 0 || !isQuarantineOf(held, owner))
      return undefined
    this.#engine ??= this.#context.openEngine()
    const session = await (await this.#engine).openSession()
    try {
      const live = await liveRowsSql(session, quarantine, held, { columns: ['key'] })
      // Rows without a key can not be told apart: each of their values counts.
      const [row] = await session.rows(
        `SELECT count(DISTINCT key) + count(*) FILTER (WHERE key IS NULL) AS rows FROM ${live}`,
      )
      return { table: formatTableName(beside), rows: BigInt(row?.['rows'] as bigint) }
    } finally {
      session.close()
    }
  }

  async close(): Promise<void> {
    await (await this.#engine)?.close()
  }
}
