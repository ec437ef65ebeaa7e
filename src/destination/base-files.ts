/** The files that an update's changes meet: the table's own, those of a fresh copy, or none. */
import type { AddFile } from '../delta/actions.ts'
import { columnsOfDeltaSchema } from '../delta/table-schema.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { keepsHistory } from './destination-kind.ts'
import { digestColumns, type DestinationState } from './destination-state.ts'
import { needsRewrite, rewriteTable } from './evolve-table.ts'
import { loadSnapshot } from './load-snapshot.ts'
import { liveRowsOfFilesSql } from './read-table.ts'
import { stagedChanges, stagedHistory } from './staged-changes.ts'
import type { TableTools, TableWork } from './table-work.ts'
import { engineTypeOf } from './type-mapping.ts'
import { writeDataFiles } from './write-data-file.ts'

export interface BaseFiles {
  readonly files: readonly AddFile[]
  /** Those of `files` that are new. */
  readonly loaded: readonly AddFile[]
  /** Files of the table that go, whatever comes. */
  readonly replaced: readonly AddFile[]
  /** Whether something has to be merged into `files`. */
  readonly hasChanges: boolean
}

/** New files are durable, and in `written` as soon as they are. */
export async function baseFiles(
  tools: TableTools,
  work: TableWork,
  { state, written }: { readonly state: DestinationState; readonly written: AddFile[] },
): Promise<BaseFiles> {
  const { snapshot } = state
  const present = [...(snapshot?.files.values() ?? [])]
  /** The table's own, as rows of the columns it has from now on. */
  const presentFiles = async (): Promise<Omit<BaseFiles, 'hasChanges'>> => {
    const { evolution } = work
    const isKept = evolution === undefined || !needsRewrite(evolution, work.columns.kind)
    if (isKept || snapshot === undefined) {
      return { files: present, loaded: [], replaced: [] }
    }
    const loaded = await rewriteTable(tools, work, { snapshot, evolution, written })
    return { files: loaded, loaded, replaced: present }
  }
  if (keepsHistory(work.columns.kind)) {
    const { files, truncates } = stagedHistory(work.steps)
    const hasChanges = files.length > 0 || truncates.length > 0
    if (work.kind === 'changes') return { ...(await presentFiles()), hasChanges }
    if (work.history === 'replaced') {
      const loaded = await loadSnapshot(tools, work, written)
      return { files: loaded, loaded, replaced: present, hasChanges }
    }
    if (state.columns === digestColumns(work.columns.stored)) {
      return { files: present, loaded: [], replaced: [], hasChanges: true }
    }
    const loaded = await rewriteHistory(tools, work, { state, written })
    return { files: loaded, loaded, replaced: present, hasChanges: true }
  }
  const changes = stagedChanges(work.steps)
  const hasChanges = changes.files.length > 0
  const isEmptied = changes.after !== undefined
  if (work.kind === 'changes') {
    return isEmptied
      ? { files: [], loaded: [], replaced: present, hasChanges }
      : { ...(await presentFiles()), hasChanges }
  }
  const loaded = isEmptied ? [] : await loadSnapshot(tools, work, written)
  return { files: loaded, loaded, replaced: present, hasChanges }
}

/**
 * What the table holds, with the columns it has from now on: new ones are NULL in rows of the past,
 * values that do not fit a column's new type as well. Earlier versions of the table still have them.
 */
async function rewriteHistory(
  tools: TableTools,
  { columns }: TableWork,
  { state, written }: { readonly state: DestinationState; readonly written: AddFile[] },
): Promise<readonly AddFile[]> {
  const { snapshot } = state
  const files = [...(snapshot?.files.values() ?? [])]
  if (snapshot === undefined || files.length === 0) return []
  const all = columnsOfDeltaSchema(snapshot.metadata.schemaString)
  const had = new Set(all.map(({ name }) => name))
  const list = columns.stored.map(({ name, type }) => {
    const quoted = quoteIdentifier(name)
    const value = had.has(name) ? quoted : 'NULL'
    return `TRY_CAST(${value} AS ${engineTypeOf(type)}) AS ${quoted}`
  })
  const session = await tools.engine.openSession()
  try {
    const wanted = all.filter(({ name }) => columns.stored.some((column) => column.name === name))
    const live = await liveRowsOfFilesSql(session, tools.table, files, { all, wanted })
    const bytes = files.reduce((sum, file) => sum + file.size, 0)
    const writer = { ...tools, engine: session, columns: columns.stored }
    const added = await writeDataFiles(
      writer,
      `SELECT ${list.join(', ')} FROM ${live}`,
      bytes > 2 ** 28,
    )
    written.push(...added)
    return added
  } finally {
    session.close()
  }
}
