/**
 * What the event triggers wrote into the log, read with suspicion: anybody may write messages under
 * our prefix. One that is not exactly as ours are is no message at all. Pure.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Log } from '../../observe/log.ts'
import type { ControlRow } from './connect.ts'
import { triggerVersion } from './ddl-trigger.ts'
import { buildTable, type CatalogTable } from './discover.ts'

export const messagePrefix = 'sluice'
const mostBytes = 1_000_000

/** A table as the catalog had it at that place in the log. */
export interface TableDescription {
  readonly catalog: CatalogTable
  /** Numbers of the columns that the transaction made or changed. */
  readonly own: ReadonlySet<string>
}

export type DdlMessage =
  | { readonly kind: 'table'; readonly described: TableDescription }
  /** Every row was written anew, with other values. */
  | { readonly kind: 'rewritten'; readonly id: string }
  /** Something that the catalog tells: a table or a publication came, changed or went. */
  | { readonly kind: 'look' }
  /** Something changed that could not be described; without `id`: who knows what. */
  | { readonly kind: 'unknown'; readonly id?: string }

/** undefined: not from the triggers that hold `token`. */
export function parseDdlMessage(content: Buffer, token: string, log: Log): DdlMessage | undefined {
  if (content.length > mostBytes || content[0] !== 0x7b) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(content.toString('utf8'))
  } catch {
    return undefined
  }
  const { head, body } = recordOf(parsed)
  const { version, token: given } = recordOf(head)
  if (version !== triggerVersion || !isSameText(given, token)) return undefined
  const { kind, id, description } = recordOf(body)
  switch (kind) {
    case 'table': {
      return parseDescription(description, log) ?? { kind: 'unknown' }
    }
    case 'rewritten':
      return isNumber(id) ? { kind, id } : { kind: 'unknown' }
    case 'look':
      return { kind }
    default:
      return { kind: 'unknown' }
  }
}

function parseDescription(value: unknown, log: Log): DdlMessage | undefined {
  const { table, columns, own } = recordOf(value)
  const row = rowOf(table)
  const id = row?.['id']
  if (row === undefined || !isNumber(id) || !row['name'] || !row['schema']) return undefined
  if (columns !== null && !Array.isArray(columns)) return undefined
  const rows: ControlRow[] = []
  let last = 0
  for (const one of (columns ?? []) as readonly unknown[]) {
    const column = rowOf(one)
    if (column === undefined || !isColumn(column)) return undefined
    const attnum = Number(column['attnum'])
    // In the order of their numbers, as rows have them.
    if (attnum <= last || attnum > Number(column['last'])) return undefined
    last = attnum
    rows.push(column)
  }
  const numbers = own ?? []
  if (!Array.isArray(numbers) || !numbers.every(isNumber)) return undefined
  if (rows.some(isOfGateway)) return { kind: 'unknown', id }
  try {
    const catalog = buildTable(row, rows, log)
    return { kind: 'table', described: { catalog, own: new Set(numbers) } }
  } catch {
    return undefined
  }
}

/**
 * How it is read is not in the description: generated columns by what the publication sends, money by
 * how the gateway's own sessions spell it.
 */
function isOfGateway(column: ControlRow): boolean {
  return column['generated'] !== '' || (column['money'] ?? null) !== null
}

const numbered = ['attnum', 'type_oid', 'last', 'xmin'] as const

function isColumn(column: ControlRow): boolean {
  return (
    numbered.every((name) => isNumber(column[name])) &&
    /^-?\d{1,10}$/.test(column['typmod'] ?? '') &&
    typeof column['name'] === 'string' &&
    typeof column['formatted'] === 'string' &&
    typeof column['generated'] === 'string' &&
    (column['has_missing'] === 't' || column['has_missing'] === 'f')
  )
}

/** As the wire has them: text or NULL. */
function rowOf(value: unknown): ControlRow | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const row: Record<string, string | null> = {}
  for (const [name, cell] of Object.entries(value)) row[name] = cellOf(cell)
  return row
}

function cellOf(cell: unknown): string | null {
  if (cell === null || typeof cell === 'string') return cell
  if (typeof cell === 'boolean') return cell ? 't' : 'f'
  return JSON.stringify(cell)
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return {}
  return value as Readonly<Record<string, unknown>>
}

function isNumber(value: unknown): value is string {
  return typeof value === 'string' && /^\d{1,10}$/.test(value)
}

function isSameText(given: unknown, wanted: string): boolean {
  if (typeof given !== 'string') return false
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}
