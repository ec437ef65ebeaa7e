/**
 * Changes onto a set of data files: which rows die, which files go, which rows are written. The
 * result is durable data and a description; nothing is visible before the Delta commit.
 */
import type { AddFile } from '../delta/actions.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { appendChanges } from './append-log.ts'
import { chooseRewrites } from './choose-rewrites.ts'
import { localDataFile } from './data-path.ts'
import type { DestinationColumns } from './destination-columns.ts'
import { mayLack } from './evolve-table.ts'
import { keepsHistory, ordinalColumn, sequenceColumn, startColumn } from './destination-kind.ts'
import type { DestinationState } from './destination-state.ts'
import { deadPositionsOf, fileLoad, markRows, type FileFate, type MarkedRows } from './mark-rows.ts'
import { markMultiset } from './multiset-rows.ts'
import { loadPositions } from './read-table.ts'
import { quarantineChanges } from './quarantine.ts'
import { reduceChanges } from './reduce-changes.ts'
import { fileColumn, positionColumn, positionedScanSql, scanSql, tolerantSql } from './scan.ts'
import { markVersions } from './scd2-versions.ts'
import { stagedChanges, stagedHistory } from './staged-changes.ts'
import { stagedGroups } from './staged-groups.ts'
import type { SessionTools, TableTools, TableWork } from './table-work.ts'
import { engineTypeOf } from './type-mapping.ts'
import { writeDataFiles } from './write-data-file.ts'

export interface MergeInput {
  /** The table's live files, or those of a fresh load. */
  readonly files: readonly AddFile[]
  readonly state: DestinationState
  /** Gets every new file as soon as it is there, so that a failure can remove it. */
  readonly written: AddFile[]
  /** Gets the files of rows that go to quarantine. */
  readonly quarantined: AddFile[]
}

/** Sorting whole rows is dear for many, and keys of an update lie anywhere in the table's anyway. */
const sortedBytes = 4 * 2 ** 20
/** Results beyond this are split into several files. */
const largeBytes = 256 * 2 ** 20

export interface MergedFiles {
  /** What becomes of each file of the base, in order. */
  readonly fates: readonly FileFate[]
  /** See `DestinationState.clockUs`; of `versions` only. */
  readonly clockUs?: bigint
  /** See `DestinationState.sequenceBase`; of `log` only. */
  readonly sequenceBase?: bigint
}

/** New files are in `written`, durable. */
export async function mergeChanges(
  tools: TableTools,
  work: TableWork,
  input: MergeInput,
): Promise<MergedFiles> {
  const session = await tools.engine.openSession()
  try {
    return await mergeInSession({ ...tools, engine: session }, work, input)
  } finally {
    // The temporary tables go with the session.
    session.close()
  }
}

async function mergeInSession(
  tools: SessionTools,
  work: TableWork,
  input: MergeInput,
): Promise<MergedFiles> {
  const { written, quarantined } = input
  const columns = work.columns.stored
  const { bytes: stagedBytes, marked } = await markFor(tools, work, input)
  quarantined.push(...(await quarantineChanges(tools, work)))
  const { fates } = marked
  const choice = chooseRewrites(fates.map(fileLoad))
  const merged = choice.merged.flatMap((index) => fates[index] ?? [])
  const rewritten = choice.rewritten.flatMap((index) => fates[index] ?? [])
  const writer = { ...tools, columns }
  const bytes = merged.reduce((sum, { file }) => sum + file.size, stagedBytes)
  const list = columns.map(({ name, type }) => {
    const quoted = quoteIdentifier(name)
    return `CAST(${quoted} AS ${engineTypeOf(type)}) AS ${quoted}`
  })
  // Who follows a log must not meet a row twice: rows that only move come in files that say so.
  const isLog = work.columns.kind === 'log'
  const small = await liveRowsOf(tools, work, { fates: merged, dead: 'sluice_dead_merged' })
  const rows = [marked.survivors, ...(isLog ? [] : small)].join(' UNION ALL ')
  const sortKey = sortKeyOf(work.columns)
  const isSorted = bytes <= sortedBytes && sortKey.length > 0
  const order = isSorted
    ? ` ORDER BY ${sortKey.map((name) => orderTerm(name, columns)).join(', ')}`
    : ''
  const select = `SELECT ${list.join(', ')} FROM (${rows})${order}`
  written.push(...(await writeDataFiles(writer, select, bytes > largeBytes)))
  const large = await liveRowsOf(tools, work, {
    fates: rewritten,
    dead: 'sluice_dead_rewritten',
  })
  for (const selects of isLog ? [small, large] : [large]) {
    if (selects.length === 0) continue
    const all = `SELECT ${list.join(', ')} FROM (${selects.join(' UNION ALL ')})`
    const files = await writeDataFiles(writer, selects === small ? `${all}${order}` : all, true)
    written.push(...files.map((file) => (isLog ? { ...file, dataChange: false } : file)))
  }
  const moved = new Set([...merged, ...rewritten])
  return {
    fates: fates.map((fate) =>
      moved.has(fate) ? { ...fate, isGone: true, ...(isLog ? { isMoved: true } : {}) } : fate,
    ),
    ...(marked.clockUs === undefined ? {} : { clockUs: marked.clockUs }),
    ...(marked.sequenceBase === undefined ? {} : { sequenceBase: marked.sequenceBase }),
  }
}

/** Which rows die and which come, as the kind of the destination has it. */
async function markFor(
  tools: SessionTools,
  work: TableWork,
  { files, state }: MergeInput,
): Promise<{ readonly bytes: number; readonly marked: MarkedRows }> {
  const { engine, table } = tools
  const { columns } = work
  if (keepsHistory(columns.kind)) {
    const history = stagedHistory(work.steps)
    const copied = work.history === 'replaced' ? [] : work.chunks.flatMap((chunk) => chunk.files)
    const bytes = copied.reduce((sum, file) => sum + file.bytes, history.bytes)
    const input = { files, history, state }
    return columns.kind === 'versions'
      ? { bytes, marked: await markVersions(tools, work, input) }
      : { bytes, marked: await appendChanges(tools, work, input) }
  }
  const changes = stagedChanges(work.steps)
  if (columns.kind === 'multiset') {
    return { bytes: changes.bytes, marked: await markMultiset(tools, work, { files, changes }) }
  }
  const groups = stagedGroups(tools, work, changes.files, changes.absentPaths)
  const reduced = await reduceChanges(engine, { ...changes, groups }, columns)
  return {
    bytes: changes.bytes,
    marked: await markRows(engine, { table, files, columns, reduced }),
  }
}

/** Rows of a file lie in this order, so that files can be left out by their bounds. */
function sortKeyOf({ kind, key }: DestinationColumns): readonly string[] {
  if (kind === 'log') return [sequenceColumn, ordinalColumn]
  return kind === 'versions' ? [...key, startColumn] : key
}

/** The engine gives a column that it sorts by back from the sort key, where -0 has become 0. */
function orderTerm(name: string, columns: DestinationColumns['stored']): string {
  const type = columns.find((column) => column.name === name)?.type
  const quoted = quoteIdentifier(name)
  if (type?.kind === 'array') return `CAST(${quoted} AS VARCHAR)`
  return type?.kind === 'float32' || type?.kind === 'float64' ? `${quoted} + 0` : quoted
}

/** Queries of the rows of `fates` that live on; `dead` names the temporary table of the others. */
async function liveRowsOf(
  tools: SessionTools,
  work: TableWork,
  { fates, dead }: { readonly fates: readonly FileFate[]; readonly dead: string },
): Promise<readonly string[]> {
  const names = work.columns.stored.map(({ name }) => name)
  const list = names.map(quoteIdentifier).join(', ')
  const vectors = await Promise.all(
    fates.map(
      async ({ file, deadPositions }) => deadPositions ?? deadPositionsOf(tools.table, file),
    ),
  )
  const pathOf = (index: number): string[] => {
    const file = fates[index]?.file
    return file === undefined ? [] : [localDataFile(tools.table, file)]
  }
  const indexes = fates.map((_, index) => index)
  const whole = indexes.filter((index) => vectors[index]?.length === 0)
  const marked = indexes.filter((index) => vectors[index]?.length !== 0)
  const selects: string[] = []
  const files = fates.map(({ file }) => file)
  const lacks = mayLack(files, names)
  const unionByName = lacks
  const typed = work.columns.stored.map(({ name, type }) => ({
    name,
    engineType: engineTypeOf(type),
  }))
  const rowsOf = (rows: string): string =>
    lacks ? tolerantSql(`SELECT * FROM ${rows}`, typed) : rows
  if (whole.length > 0) {
    const rows = scanSql(whole.flatMap(pathOf), { unionByName })
    selects.push(`SELECT ${list} FROM ${rowsOf(rows)}`)
  }
  if (marked.length > 0) {
    const positions = marked.flatMap((index) => vectors[index] ?? [])
    await loadPositions(tools.engine, dead, positions)
    const rows = positionedScanSql(marked.flatMap(pathOf), lacks ? '*' : names, names, {
      unionByName,
    })
    selects.push(
      `SELECT ${list} FROM ${rowsOf(rows)}
       ANTI JOIN ${dead} USING (${quoteIdentifier(fileColumn)}, ${quoteIdentifier(positionColumn)})`,
    )
  }
  return selects
}
