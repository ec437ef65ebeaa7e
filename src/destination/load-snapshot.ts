/** The files of a copy become files of the table: linked as they are where they are the table's. */
import type { AddFile } from '../delta/actions.ts'
import { encodeDataPath } from '../delta/data-path.ts'
import { deltaStatsJson, withLooseBounds } from '../delta/statistics.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import type { StagedFile } from '../staging/manifest.ts'
import { inTable } from './data-path.ts'
import {
  changeTypeColumn,
  commitTimeColumn,
  endColumn,
  firstCopyOrdinal,
  ordinalColumn,
  sequenceColumn,
  startColumn,
} from './destination-kind.ts'
import { copyRowsSql, supersededRows } from './superseded-rows.ts'
import type { TableTools, TableWork } from './table-work.ts'
import { newDataFileName, writeDataFiles } from './write-data-file.ts'

/** Links in flight at once: each waits for the disk. */
const linkConcurrency = 8

/**
 * Durable data files with the rows of the copy. Staged files that have exactly the table's columns
 * become its files, and rows that a resumed copy has newer elsewhere are marked; others are written
 * again, so that nothing else arrives.
 * `written` gets every new file at once, so that a failure can remove it.
 */
export async function loadSnapshot(
  tools: TableTools,
  work: TableWork,
  written: AddFile[],
): Promise<readonly AddFile[]> {
  const files = work.chunks.flatMap((chunk) => chunk.files).filter((file) => file.rows > 0)
  if (files.length === 0) return []
  const session = await tools.engine.openSession()
  try {
    const inSession = { ...tools, engine: session }
    const { columns, upgrades } = work
    const isOurs = ({ path, unfit_cells: unfit }: StagedFile): boolean =>
      columns.isComplete &&
      columns.stored.length === columns.columns.length &&
      unfit === undefined &&
      upgrades?.has(path) !== true
    const others = files.filter((file) => !isOurs(file))
    const linked = await linkFiles(inSession, work, { files: files.filter(isOurs), written })
    return [...linked, ...(await rewriteFiles(inSession, work, { files: others, written }))]
  } finally {
    session.close()
  }
}

type SessionTools = Omit<TableTools, 'engine'> & { readonly engine: EngineStatements }

interface LoadInput {
  readonly files: readonly StagedFile[]
  readonly written: AddFile[]
}

async function rewriteFiles(
  tools: SessionTools,
  work: TableWork,
  { files, written }: LoadInput,
): Promise<readonly AddFile[]> {
  if (files.length === 0) return []
  const rows = await copyRowsSql(tools.engine, tools, work, new Set(files))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const writer = { ...tools, columns: work.columns.stored }
  const added = await writeDataFiles(writer, copiedRowsSql(work, rows), bytes > 2 ** 28)
  written.push(...added)
  return added
}

async function linkFiles(
  tools: SessionTools,
  work: TableWork,
  { files, written }: LoadInput,
): Promise<readonly AddFile[]> {
  if (files.length === 0) return []
  const superseded = await supersededRows(tools.engine, tools, work)
  const live = files.filter((file) => (superseded.get(file)?.length ?? 0) < file.rows)
  const marked = live.filter((file) => superseded.has(file))
  const vectors =
    marked.length === 0
      ? []
      : await tools.table.writeDeletionVectors(
          marked.map((file) => superseded.get(file) ?? new BigUint64Array(0)),
        )
  const vectorOf = new Map(marked.map((file, index) => [file, vectors[index]]))
  const added: AddFile[] = Array.from({ length: live.length })
  let next = 0
  const link = async (): Promise<void> => {
    while (next < live.length) {
      const index = next++
      const file = live[index]
      if (file === undefined) continue
      added[index] = withVector(await linkFile(tools, work, file), vectorOf.get(file))
      written.push(added[index])
    }
  }
  await Promise.all(Array.from({ length: linkConcurrency }, link))
  return added
}

function withVector(file: AddFile, deletionVector: AddFile['deletionVector']): AddFile {
  if (deletionVector === undefined) return file
  const { stats } = file
  return {
    ...file,
    deletionVector,
    ...(stats === undefined ? {} : { stats: withLooseBounds(stats) }),
  }
}

async function linkFile(
  tools: Pick<TableTools, 'table' | 'staging' | 'clock'>,
  work: TableWork,
  file: StagedFile,
): Promise<AddFile> {
  const name = newDataFileName()
  await tools.table.storage.linkFrom(tools.staging, file.path, inTable(tools.table, name))
  const statistics = file.statistics ?? { rowCount: file.rows, columns: [] }
  return {
    path: encodeDataPath(name),
    partitionValues: {},
    size: file.bytes,
    modificationTime: tools.clock.nowMs(),
    dataChange: true,
    stats: deltaStatsJson(statistics, work.columns.columns),
  }
}

/** Rows of a copy with the columns that the destination adds. */
function copiedRowsSql({ columns, copy }: TableWork, rows: string): string {
  const { takenAtUs, sequence } = copy ?? { takenAtUs: 0n, sequence: 0n }
  const taken = `make_timestamptz(${takenAtUs})`
  switch (columns.kind) {
    case 'current':
    case 'multiset':
      return rows
    case 'versions':
      return `SELECT *, ${taken} AS ${startColumn}, NULL::TIMESTAMPTZ AS ${endColumn} FROM (${rows})`
    case 'log':
      return `SELECT *, 'insert' AS ${changeTypeColumn}, ${taken} AS ${commitTimeColumn},
        ${sequence}::BIGINT AS ${sequenceColumn}, (${firstCopyOrdinal})::INTEGER AS ${ordinalColumn} FROM (${rows})`
    default:
      return columns.kind satisfies never
  }
}
