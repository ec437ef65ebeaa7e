/**
 * Rows that `verify` finds missing because they are in quarantine although they fit by now: a change
 * that keeps cells of a row in quarantine (unchanged TOAST) does not bring the row whole.
 */
import { formatTableName, parseTableName } from '../catalog/names.ts'
import type { VerifiedTable } from '../cli/app.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { configurationKeys, unfitPolicyOf } from '../destination/destination-state.ts'
import { isQuarantineOf, keepsCellsReason, quarantineName } from '../destination/quarantine.ts'
import { liveRowsSql } from '../destination/read-table.ts'
import type { Engine } from '../engine/duckdb.ts'
import { quoteText } from '../engine/quote.ts'
import type { Context } from './context.ts'
import { spelledOut } from './remedy.ts'

/** `verified` with what its quarantine says of missing rows; as it is when that says nothing. */
export async function withHeldBack(
  tools: { readonly context: Context; readonly engine: Engine },
  verified: VerifiedTable,
  snapshot: DeltaSnapshot | undefined,
): Promise<VerifiedTable> {
  const { context, engine } = tools
  const { destination, missing } = verified
  if (missing === 0n || snapshot === undefined) return verified
  if (unfitPolicyOf(snapshot) !== 'quarantine') return verified
  const name = parseTableName(destination)
  const beside = { ...name, table: quarantineName(name.table) }
  const quarantine = context.deltaTable((await context.folders()).table(beside))
  const held = await quarantine.snapshot()
  const pipelineId = snapshot.metadata.configuration[configurationKeys.pipelineId]
  if (held === undefined || pipelineId === undefined || held.files.size === 0) return verified
  if (!isQuarantineOf(held, { pipelineId, name: destination })) return verified
  const live = await liveRowsSql(engine, quarantine, held, { columns: ['key', 'reason'] })
  const rows = await engine.rows(
    `SELECT DISTINCT key FROM ${live} WHERE key IS NOT NULL AND reason = ${quoteText(keepsCellsReason)}`,
  )
  if (rows.length === 0) return verified
  const table = formatTableName(beside)
  const keys = new Set(rows.map(({ key }) => keyForPeople(String(key))))
  return {
    ...verified,
    differences: verified.differences.map((difference) =>
      difference.kind === 'missing in destination' && keys.has(difference.key)
        ? { ...difference, kind: `missing in destination, held back in ${table}` }
        : difference,
    ),
    heldBack: {
      table,
      rows: BigInt(rows.length),
      remedy: spelledOut(context, 'sluice refresh TABLE --full', destination),
    },
  }
}

/** As `verify` names keys; where a type is shown in another way there, the row is only counted. */
function keyForPeople(json: string): string {
  const key = JSON.parse(json) as Readonly<Record<string, unknown>>
  return Object.entries(key)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(', ')
}
