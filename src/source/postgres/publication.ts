/**
 * The publication: made, extended and watched. What it publishes is decided at the place in the log
 * being decoded, and newer servers skip what it left out without a word; so every table's share is
 * fingerprinted, and a fingerprint that changed without us means that changes may be missing.
 */
import { SluiceError } from '../../base/errors.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import type { ServerState } from './log-guard.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import { sqlStateOf } from './server-error.ts'
import { idArray, onPrimary, quoteIdentifier, quoteLiteral, quoteTable } from './sql-text.ts'
import { describeHolders, isLockTimeout } from './table-locks.ts'

/** How one table stands in the publication. */
export interface TablePublication {
  /** Changes whenever changes of the table may have gone unpublished. */
  readonly signature: string
  /**
   * Only transactions that began at or after this 64-bit id are sure to be published whole: a copy
   * must show every earlier one.
   */
  readonly since: string
  /**
   * A gap was found when reading was to go on from this LSN. Whoever keeps a later position has
   * been told of it; anybody else is told again.
   */
  readonly gapAt?: string
}

export interface PublicationFingerprint {
  readonly name: string
  readonly tables: Readonly<Record<string, TablePublication>>
}

export interface PublicationState {
  readonly exists: boolean
  /** We made it and may repair it. */
  readonly isOurs: boolean
  readonly publishesAll: boolean
  /** Leaves operations or stored generated columns out, or publishes partitions as their root. */
  readonly hasOtherOptions: boolean
  /** Stored generated columns; undefined on servers that can not. */
  readonly publishesGenerated: boolean | undefined
  /** By table id; a table that is not published has no entry. */
  readonly signatures: ReadonlyMap<string, string>
  /** By table id: why not all changes of all rows and columns are published. */
  readonly problems: ReadonlyMap<string, string>
}

/** Put as a comment on a publication that we made; then we drop it at the end. */
export const ourComment = 'Made by Sluice'

/** What a publication publishes of its tables. */
export type Publishes = 'everything' | 'inserts'

export const publicationOptions: Readonly<Record<Publishes, string>> = {
  everything: `publish = 'insert, update, delete, truncate', publish_via_partition_root = false`,
  inserts: `publish = 'insert, truncate', publish_via_partition_root = false`,
}

/** Stored generated columns are published since version 18, where that is asked for. */
export const withStoredGenerated = 'publish_generated_columns = stored'

function optionsFor(publishes: Publishes, serverVersion: number): string {
  const options = publicationOptions[publishes]
  return serverVersion < 180_000 ? options : `${options}, ${withStoredGenerated}`
}

const stateSql = `
  WITH wanted AS (
    SELECT c.oid, c.relnamespace, c.relispartition FROM pg_class c WHERE c.oid = ANY ($2::oid[])
  )
  SELECT p.oid::text AS id, p.xmin::text AS version, p.puballtables AS publishes_all,
    p.pubviaroot AS via_root, to_jsonb(p) ->> 'pubgencols' AS generated, obj_description(p.oid, 'pg_publication') AS comment,
    concat_ws(', ', CASE WHEN NOT p.pubinsert THEN 'insert' END,
      CASE WHEN NOT p.pubupdate THEN 'update' END, CASE WHEN NOT p.pubdelete THEN 'delete' END,
      CASE WHEN NOT p.pubtruncate THEN 'truncate' END) AS left_out,
    w.oid::text AS table, w.relispartition AS is_partition, r.oid::text AS member,
    to_jsonb(r) ->> 'prattrs' AS columns, to_jsonb(r) ->> 'prqual' IS NOT NULL AS is_filtered,
    NAMESPACE_MEMBER AS schema_member
  FROM pg_publication p
  LEFT JOIN wanted w ON true
  LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = w.oid
  WHERE p.pubname = $1`

/**
 * Publications of whole schemas exist since version 15. Their entry says nothing of a table that left
 * its schema and came back; the row of its dependency on the schema is written anew each time.
 */
const schemaMemberSql = `(SELECT concat_ws('.', s.oid, d.xmin::text) FROM pg_publication_namespace s
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = w.oid AND d.objsubid = 0
      AND d.refclassid = 'pg_namespace'::regclass
    WHERE s.pnpubid = p.oid AND s.pnnspid = w.relnamespace)`

function stateSqlFor(serverVersion: number): string {
  return stateSql.replace('NAMESPACE_MEMBER', serverVersion >= 150000 ? schemaMemberSql : 'NULL')
}

/** Looks at the publication as it stands now. */
export async function readPublication(
  control: Control,
  name: string,
  tables: readonly TableId[],
  serverVersion: number,
  publishes: Publishes = 'everything',
): Promise<PublicationState> {
  const rows = await control.query(stateSqlFor(serverVersion), [name, idArray(tables)])
  const signatures = new Map<string, string>()
  const problems = new Map<string, string>()
  const first = rows[0]
  for (const row of rows) {
    const table = row['table']
    if (table === null || table === undefined) continue
    const share = [
      row['member'] === null ? '' : `t${row['member']}`,
      row['schema_member'] === null ? '' : `s${row['schema_member']}`,
      row['publishes_all'] === 't' ? 'a' : '',
    ].join('')
    if (share === '') continue
    const limits = `${row['columns'] ?? ''}/${row['is_filtered']}`
    signatures.set(table, `${row['id']}.${row['version']}.${share}.${limits}`)
    const problem = problemOf(row, publishes)
    if (problem !== undefined) problems.set(table, problem)
  }
  return {
    exists: first !== undefined,
    isOurs: first?.['comment']?.startsWith(ourComment) === true,
    publishesAll: first?.['publishes_all'] === 't',
    hasOtherOptions:
      first !== undefined &&
      (first['left_out'] !== leftOut[publishes] ||
        first['via_root'] === 't' ||
        publishesGenerated(first) === false),
    publishesGenerated: publishesGenerated(first),
    signatures,
    problems,
  }
}

function publishesGenerated(row: ControlRow | undefined): boolean | undefined {
  const letter = row?.['generated'] ?? undefined
  return letter === undefined ? undefined : letter === 's'
}

const leftOut: Readonly<Record<Publishes, string>> = { everything: '', inserts: 'update, delete' }

function problemOf(
  row: Readonly<Record<string, string | null>>,
  publishes: Publishes,
): string | undefined {
  if (row['left_out'] !== leftOut[publishes]) {
    return publishes === 'everything'
      ? `it does not publish ${row['left_out']}`
      : 'it does not publish just inserts and truncates'
  }
  if (row['columns'] !== null) return 'it publishes only some columns of the table'
  if (row['is_filtered'] === 't') return 'it publishes only some rows of the table'
  if (row['via_root'] === 't' && row['is_partition'] === 't') {
    return 'it publishes rows of partitions as rows of their root (publish_via_partition_root)'
  }
  return undefined
}

/** The statement a person has to run for tables that are not published. */
export function addTablesStatement(name: string, tables: readonly SourceTable[]): string {
  const list = tables.map((table) => `ONLY ${quoteTable(table.name)}`).join(', ')
  return `ALTER PUBLICATION ${quoteIdentifier(name)} ADD TABLE ${list};`
}

export function createStatement(
  name: string,
  tables: readonly SourceTable[],
  publishes: Publishes = 'everything',
  serverVersion = 0,
): string {
  const list = tables.map((table) => `ONLY ${quoteTable(table.name)}`).join(', ')
  const forTables = tables.length === 0 ? '' : ` FOR TABLE ${list}`
  return `CREATE PUBLICATION ${quoteIdentifier(name)}${forTables} WITH (${optionsFor(publishes, serverVersion)});`
}

/** Tables that could not be published because others had locked them, and who, for people. */
export type LockedTables = ReadonlyMap<TableId, string>

/**
 * Makes the publication if it is missing, adds tables, and repairs one that we made. What it may
 * not do it leaves; read the outcome with `readPublication`. Throws SOURCE_PUBLICATION_MISSING when
 * there is none and none can be made. On a standby nothing can be changed.
 */
export async function ensurePublication(
  control: Control,
  name: string,
  tables: readonly SourceTable[],
  server: ServerState,
  publishes: Publishes = 'everything',
): Promise<LockedTables> {
  const ids = tables.map((table) => table.id)
  const state = await readPublication(control, name, ids, server.version, publishes)
  const locked = new Map<TableId, string>()
  if (server.isStandby) {
    if (state.exists) return locked
    throw new SluiceError(
      'SOURCE_PUBLICATION_MISSING',
      `Publication "${name}" does not exist, and the server is a standby: it can only be made on the primary`,
      { remedy: onPrimary(createStatement(name, tables, publishes, server.version)) },
    )
  }
  if (!state.exists) {
    await create(control, name, publishes, server.version)
  } else if (state.isOurs && state.hasOtherOptions) {
    await control.query(
      `ALTER PUBLICATION ${quoteIdentifier(name)} SET (${optionsFor(publishes, server.version)})`,
    )
  }
  if (state.publishesAll) return locked
  for (const table of tables) {
    const isMember = state.signatures.has(table.id)
    if (isMember && !(state.isOurs && state.problems.has(table.id))) continue
    const waitMs = locked.size < mostWaits ? lockWaitMs : 1
    // First takes a row filter or a column list away.
    const isDropped = !isMember || (await tryAlter(control, name, 'DROP', table, waitMs)) === 'done'
    if (isDropped && (await tryAlter(control, name, 'ADD', table, waitMs)) === 'done') continue
    locked.set(table.id, await describeHolders(control, table.id, 'publish'))
  }
  return locked
}

/** With its comment at once: what has none is not ours to drop. */
async function create(
  control: Control,
  name: string,
  publishes: Publishes,
  serverVersion: number,
): Promise<void> {
  const statement = createStatement(name, [], publishes, serverVersion)
  const comment = `COMMENT ON PUBLICATION ${quoteIdentifier(name)} IS '${ourComment}';`
  try {
    await control.query(`DO $sluice$ BEGIN ${statement} ${comment} END $sluice$`)
  } catch (cause) {
    if (!isRefusal(cause)) throw cause
    throw new SluiceError(
      'SOURCE_PUBLICATION_MISSING',
      `Publication "${name}" does not exist and could not be created: ${cause instanceof Error ? cause.message : ''}`,
      { cause, remedy: `${statement} as an owner of the tables.` },
    )
  }
}

/** Everything that is asked of the server waits behind a statement that waits for a lock. */
const lockWaitMs = 300

/** Locks of so many tables are waited for in one go; of further ones, only looked at. */
const mostWaits = 3

/**
 * Insufficient privilege, a table that is gone or of the wrong kind: seen in the state afterwards.
 * 'locked': another session works on the table (VACUUM, CREATE INDEX, ALTER TABLE, …).
 */
async function tryAlter(
  control: Control,
  name: string,
  action: 'ADD' | 'DROP',
  table: Pick<SourceTable, 'name'>,
  waitMs: number,
): Promise<'done' | 'locked'> {
  const sql = `ALTER PUBLICATION ${quoteIdentifier(name)} ${action} TABLE ONLY ${quoteTable(table.name)};`
  const body = `BEGIN PERFORM set_config('lock_timeout', '${waitMs}', true); ${sql} END`
  try {
    await control.query(`DO ${quoteLiteral(body)}`)
  } catch (error) {
    if (isLockTimeout(error)) return 'locked'
    if (!isRefusal(error)) throw error
  }
  return 'done'
}

/** The server will not do it however often it is asked: no broken connection, no want of resources. */
function isRefusal(error: unknown): boolean {
  return /^(42|22|25|0A|55)/.test(sqlStateOf(error) ?? '')
}

/** Takes a table out of a publication; one that is not in it any more is no matter. */
export async function dropMember(
  control: Control,
  name: string,
  table: SourceTable['name'],
): Promise<void> {
  await tryAlter(control, name, 'DROP', { name: table }, lockWaitMs)
}

/** Drops the publication if we made it; else false. */
export async function dropPublication(control: Control, name: string): Promise<boolean> {
  const state = await readPublication(control, name, [], 0)
  if (state.isOurs) await control.query(`DROP PUBLICATION ${quoteIdentifier(name)}`)
  return state.isOurs
}

/** Remembers that these tables have a gap for one who goes on from `position`, and for nobody else. */
export function withGaps(
  fingerprinted: PublicationFingerprint,
  gaps: ReadonlyMap<TableId, string>,
  position: Lsn,
): PublicationFingerprint {
  const tables: Record<string, TablePublication> = {}
  for (const [table, { signature, since }] of Object.entries(fingerprinted.tables)) {
    const gapAt = gaps.has(table as TableId) ? { gapAt: formatLsn(position) } : {}
    tables[table] = { signature, since, ...gapAt }
  }
  return { ...fingerprinted, tables }
}

/** No `since` is later than `nextXid`, the first id not yet given out. */
export function notAfter(before: PublicationFingerprint, nextXid: string): PublicationFingerprint {
  const tables: Record<string, TablePublication> = {}
  for (const [table, entry] of Object.entries(before.tables)) {
    tables[table] = BigInt(entry.since) > BigInt(nextXid) ? { ...entry, since: nextXid } : entry
  }
  return { ...before, tables }
}

/**
 * The fingerprint of `state`. Tables whose signature is that of `before` keep their `since`; for
 * others it is `nextXid`, the first id not yet given out when the state was read.
 */
export function fingerprint(
  name: string,
  state: PublicationState,
  before: PublicationFingerprint | undefined,
  nextXid: string,
): PublicationFingerprint {
  const tables: Record<string, TablePublication> = {}
  for (const [table, signature] of state.signatures) {
    const known = before?.tables[table]
    tables[table] = known?.signature === signature ? known : { signature, since: nextXid }
  }
  return { name, tables }
}

/**
 * Tables that were published in `before` and stand otherwise now, or whose gap is not known yet to
 * one who goes on from `position`, with the reason for people.
 */
export function publicationGaps(
  before: PublicationFingerprint,
  state: PublicationState,
  position?: Lsn,
): ReadonlyMap<TableId, string> {
  const gaps = new Map<TableId, string>()
  for (const [table, { signature, gapAt }] of Object.entries(before.tables)) {
    const now = state.signatures.get(table)
    const isTold = gapAt === undefined || position === undefined || position > parseLsn(gapAt)
    if (now === signature && isTold) continue
    const id = table as TableId
    const problem = state.problems.get(table)
    if (!state.exists) gaps.set(id, `publication "${before.name}" does not exist any more`)
    else if (now === undefined) gaps.set(id, `publication "${before.name}" lacks the table`)
    else if (problem !== undefined) gaps.set(id, `publication "${before.name}": ${problem}`)
    else gaps.set(id, `publication "${before.name}" was changed or made anew by somebody else`)
  }
  return gaps
}
