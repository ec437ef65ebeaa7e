/** `verify`: brings tables to one position of the source's log and compares both sides there. */
import { asSluiceError, SluiceError, troubleOf } from '../base/errors.ts'
import { matchesTableName, nameProblem, parseTableName } from '../catalog/names.ts'
import type { VerifiedTable, VerifyOptions } from '../cli/app.ts'
import type { DeltaSnapshot, DeltaTable } from '../delta/delta-table.ts'
import { currentRowsOf, currentRowsSql } from '../destination/current-rows.ts'
import { namedDamage } from '../destination/damaged-file.ts'
import { unfitPolicyOf } from '../destination/destination-state.ts'
import { liveRowsSql } from '../destination/read-table.ts'
import type { Engine } from '../engine/duckdb.ts'
import { withEnoughMemory } from '../engine/enough-memory.ts'
import type { SourceTable } from '../source/table-schema.ts'
import type { SourceVerification } from '../source/verification.ts'
import { judgeInserts, type TableVerification, verifyTable } from '../verify/verify-table.ts'
import { nameOf } from '../gateway/followed-tables.ts'
import { refusals, selectTables } from '../gateway/select-tables.ts'
import type { Context } from './context.ts'
import { selectionOf } from './gateway-runtime.ts'
import { type KnownProblems, problemsAfter, problemsBefore } from './known-problems.ts'
import { applyAll, type PipelineRuntime } from './pipeline-runtime.ts'
import { spelledProblem } from './remedy.ts'
import { withHeldBack } from './held-missing.ts'
import type { Lane } from './runtime.ts'

/** A destination table held at the version that shows the position. */
interface HeldTable {
  readonly destination: string
  readonly source: SourceTable | undefined
  /** undefined when there is a problem: the name may be none a folder can have. */
  readonly table: DeltaTable | undefined
  readonly snapshot: DeltaSnapshot | undefined
  readonly problem: VerifiedTable['problem']
  readonly isGone?: boolean
}

/** Both sides at one position, ready to be compared while everything else goes on. */
export interface Comparison {
  /** Compares table by table; closes what it holds. */
  run(options: VerifyOptions): Promise<readonly VerifiedTable[]>
  close(): Promise<void>
}

/**
 * Nothing else may run the gateway or the pipelines meanwhile. When it resolves the gateway has
 * staged and the pipelines have applied everything that commits before the position, nothing after it.
 */
export async function holdComparison(
  context: Context,
  lane: Lane,
  signal: AbortSignal,
): Promise<Comparison> {
  const { source, gateway } = lane.gateway
  const sources = await discoverFor(lane)
  const before = await problemsBefore(context, lane)
  const verification = await source.openVerification(sources)
  try {
    await gateway.run({ mode: 'until', until: verification.position, signal })
    await applyAll(lane.pipelines, signal)
    if (signal.aborted) throw new SluiceError('ABORTED', 'verification was stopped')
    const problems = problemsAfter(lane, before)
    const held: HeldTable[] = []
    for (const pipeline of lane.pipelines)
      held.push(...(await holdTables(context, { sources, problems }, pipeline)))
    held.push(...heldWithoutDestination(lane, problems))
    return {
      run: (options) => compareAll(context, { verification, held }, options),
      close: async () => await verification.close(),
    }
  } catch (error) {
    await verification.close()
    throw error
  }
}

/** The source tables of the lane's pipelines that can be followed, as they are now. */
async function discoverFor({ gateway, pipelines }: Lane): Promise<readonly SourceTable[]> {
  const selection = selectionOf(pipelines.map(({ definition }) => definition))
  const { tables } = await selectTables(gateway.source, selection)
  const refused = refusals(await gateway.source.check(tables))
  return tables.filter((table) => !refused.has(nameOf(table)))
}

/** Tables that are wanted and that the gateway can not follow: no destination shows them. */
function heldWithoutDestination(
  { pipelines }: Lane,
  problems: KnownProblems,
): readonly HeldTable[] {
  const shown = new Set(
    pipelines.flatMap(({ pipeline }) => pipeline.status().tables.map(({ tableId }) => tableId)),
  )
  return (
    [...problems]
      .filter(([tableId]) => !shown.has(tableId))
      // It left nothing here; one that was asked for by name is among them as not found.
      .filter(([, { problem }]) => problem.code !== 'GATEWAY_TABLE_GONE')
      .map(([, { name, problem }]) => ({
        destination: `${name.schema}.${name.table}`,
        source: undefined,
        table: undefined,
        snapshot: undefined,
        problem,
      }))
  )
}

async function holdTables(
  context: Context,
  known: { readonly sources: readonly SourceTable[]; readonly problems: KnownProblems },
  { pipeline }: PipelineRuntime,
): Promise<readonly HeldTable[]> {
  const folders = await context.folders()
  return await Promise.all(
    pipeline.status().tables.map(async (status): Promise<HeldTable> => {
      const { destination, tableId, gone, source: from } = status
      // What the pipeline waits for is a consequence.
      const problem = known.problems.get(tableId)?.problem ?? status.problem
      const nothing = { source: undefined, table: undefined, snapshot: undefined }
      if (gone !== undefined) {
        const isBack = known.sources.some(
          ({ name }) => from !== undefined && nameOf({ name }) === nameOf({ name: from }),
        )
        if (isBack) return { destination, ...nothing, problem: madeAgain }
        return { destination, ...nothing, problem: undefined, isGone: true }
      }
      const table =
        problem === undefined
          ? context.deltaTable(folders.table(parseTableName(destination)))
          : undefined
      const snapshot = await table?.snapshot()
      const source = known.sources.find(({ id }) => id === tableId)
      return {
        destination,
        source,
        table,
        snapshot,
        problem: problem ?? missingReason(destination, source, snapshot),
      }
    }),
  )
}

const madeAgain = troubleOf(
  new SluiceError(
    'VERIFY_NOT_LOADED',
    'the source has another table of this name now, which is not loaded yet: the rows here are those of the one before',
  ),
)

function missingReason(
  destination: string,
  source: SourceTable | undefined,
  snapshot: DeltaSnapshot | undefined,
): VerifiedTable['problem'] {
  if (source === undefined) {
    return troubleOf(
      new SluiceError('VERIFY_SOURCE_MISSING', `the source table of ${destination} is gone`),
    )
  }
  if (snapshot === undefined) {
    return troubleOf(new SluiceError('VERIFY_NOT_LOADED', `${destination} is not loaded yet`))
  }
  return undefined
}

async function compareAll(
  context: Context,
  both: { readonly verification: SourceVerification; readonly held: readonly HeldTable[] },
  options: VerifyOptions,
): Promise<readonly VerifiedTable[]> {
  const { verification, held } = both
  const wanted = held.filter(
    ({ destination }) =>
      options.tables === undefined || options.tables.some((text) => isNamedBy(text, destination)),
  )
  const engine = await context.openEngine()
  try {
    const verified: VerifiedTable[] = []
    for (const table of wanted) {
      if (options.signal.aborted) throw new SluiceError('ABORTED', 'verification was stopped')
      const compared = await compareNamed({ verification, engine }, table).catch(
        (error: unknown): VerifiedTable => {
          // One table that can not be compared is named, and the others are compared.
          if (options.signal.aborted) throw error
          return notCompared(verification, { ...table, problem: troubleOf(asSluiceError(error)) })
        },
      )
      const { problem, destination } = compared
      const one =
        problem === undefined
          ? // A hint: what was compared stands without it.
            await withHeldBack({ context, engine }, compared, table.snapshot).catch(() => compared)
          : { ...compared, problem: spelledProblem(context, problem, destination) }
      options.onTable?.(one)
      verified.push(one)
    }
    return verified
  } finally {
    await engine.close()
    await verification.close()
  }
}

/** False for a destination whose name no text can mean. */
export function isNamedBy(text: string, destination: string): boolean {
  const parts = destination.split('.')
  if (parts.length !== 3 || parts.some((part) => nameProblem(part) !== undefined)) return false
  return matchesTableName(text, parseTableName(destination))
}

async function compareNamed(
  tools: { readonly verification: SourceVerification; readonly engine: Engine },
  held: HeldTable,
): Promise<VerifiedTable> {
  const { table, snapshot } = held
  try {
    return await compareTable(tools, held)
  } catch (error) {
    throw table === undefined ? error : await namedDamage(error, { ...tools, table, snapshot })
  }
}

async function compareTable(
  tools: { readonly verification: SourceVerification; readonly engine: Engine },
  held: HeldTable,
): Promise<VerifiedTable> {
  const { destination, source, table, snapshot, problem } = held
  if (problem !== undefined || !source || !table || !snapshot) {
    return notCompared(tools.verification, held)
  }
  const live = await withEnoughMemory(tools.engine, () =>
    liveRowsSql(tools.engine, table, snapshot),
  )
  const { columns: stored, ...current } = currentRowsOf(snapshot)
  const relation = currentRowsSql(live, { ...current, columns: stored })
  const columns = stored.map(({ name }) => name)
  const result = await verifyTable(tools.verification, tools.engine, {
    source,
    destination,
    relation,
    columns,
    policy: unfitPolicyOf(snapshot),
  })
  return shown(result, { source, position: tools.verification.position, version: snapshot.version })
}

function notCompared(
  { position }: Pick<SourceVerification, 'position'>,
  { destination, source, snapshot, problem, isGone }: HeldTable,
): VerifiedTable {
  return {
    destination,
    source: source?.name.table ?? destination,
    isEqual: false,
    sourceRows: 0n,
    destinationRows: 0n,
    missing: 0n,
    extra: 0n,
    different: 0n,
    differences: [],
    version: snapshot?.version,
    position,
    ...(isGone === true ? { isGone } : {}),
    ...(problem === undefined ? {} : { problem }),
  }
}

function shown(
  result: TableVerification,
  at: { readonly source: SourceTable; readonly position: string; readonly version: bigint },
): VerifiedTable {
  const { schema, table } = at.source.name
  const { sourceRows, destinationRows, unmatched } = result
  const names = { destination: result.destination, source: `${schema}.${table}` }
  if (at.source.schema.identity === 'insert-only' && !result.equal) {
    // Rows that the source changed or deleted later stand here as they came: that is no difference.
    const { kind, others } = judgeInserts(result)
    return {
      ...names,
      isEqual: false,
      insertsOnly: { kind, unmatched, others },
      sourceRows,
      destinationRows,
      missing: kind === 'lost' ? sourceRows - destinationRows : 0n,
      extra: 0n,
      different: 0n,
      differences: [],
      version: at.version,
      position: at.position,
    }
  }
  return {
    ...names,
    isEqual: result.equal,
    sourceRows,
    destinationRows,
    missing: result.missing,
    extra: result.extra,
    different: result.different,
    differences: result.differences,
    version: at.version,
    position: at.position,
  }
}
