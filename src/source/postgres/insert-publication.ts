/**
 * Two publications. One publishes everything of tables whose rows can be identified. Tables that
 * are wanted for their inserts alone stand in a second one, which publishes nothing else: a table
 * without an identity in the first one would have its own UPDATE and DELETE refused by the server
 * (55000). For the same reason a table that has lost its identity is taken out of the first one.
 */
import { createHash } from 'node:crypto'
import type { SourceTable, TableId } from '../table-schema.ts'
import { identifiesRows } from './catalog-parts.ts'
import type { Control } from './control.ts'
import type { ServerState } from './log-guard.ts'
import { formatLsn, type Lsn, parseLsn, zeroLsn } from './lsn.ts'
import { partitionTreeSql } from './partition-tree.ts'
import {
  dropMember,
  dropPublication,
  ensurePublication,
  type LockedTables,
  ourComment,
  type PublicationState,
  readPublication,
} from './publication.ts'
import { idArray, quoteIdentifier } from './sql-text.ts'
import { insertedTo } from './wal-flush.ts'

/** A name has no more. */
const nameBytes = 63

/** Of a long name as much as fits, with a hash of the whole: no two share a publication. */
export function insertsNameOf(name: string): string {
  const plain = `${name}_inserts`
  if (Buffer.byteLength(plain) <= nameBytes) return plain
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8)
  const ending = `_${hash}_inserts`
  let kept = ''
  for (const letter of name) {
    if (Buffer.byteLength(kept + letter + ending) > nameBytes) break
    kept += letter
  }
  return kept + ending
}

/** Of both, that for everything first. */
export function publicationNamesOf(name: string): readonly [string, string] {
  return [name, insertsNameOf(name)]
}

export function isInsertOnly({ schema }: Pick<SourceTable, 'schema'>): boolean {
  return schema.identity === 'insert-only'
}

/** How all tables stand, each in its publication. */
export async function readPublications(
  control: Control,
  name: string,
  tables: readonly SourceTable[],
  serverVersion: number,
): Promise<PublicationState> {
  const idsOf = (some: readonly SourceTable[]): SourceTable['id'][] => some.map(({ id }) => id)
  const inserts = tables.filter(isInsertOnly)
  const whole = tables.filter((table) => !isInsertOnly(table))
  const first = await readPublication(control, name, idsOf(whole), serverVersion)
  if (inserts.length === 0) return first
  const secondName = insertsNameOf(name)
  const second = await readPublication(
    control,
    secondName,
    idsOf(inserts),
    serverVersion,
    'inserts',
  )
  return {
    ...first,
    exists: first.exists && second.exists,
    signatures: new Map([...first.signatures, ...second.signatures]),
    problems: new Map([...first.problems, ...second.problems]),
  }
}

export interface Ensured {
  /** Wanted tables that stay out, because they have no identity. */
  readonly unidentified: ReadonlySet<TableId>
  readonly locked: LockedTables
}

/**
 * Makes, extends and repairs both; see `ensurePublication`. Tables without an identity stay out.
 */
export async function ensurePublications(
  control: Control,
  name: string,
  tables: readonly SourceTable[],
  server: ServerState,
): Promise<Ensured> {
  const inserts = tables.filter(isInsertOnly)
  const { ids: unidentified } = await dropUnidentified(control, name, tables, server)
  const whole = tables.filter((table) => !isInsertOnly(table) && !unidentified.has(table.id))
  const locked = await ensurePublication(control, name, whole, server)
  if (inserts.length === 0) return { unidentified, locked }
  const second = insertsNameOf(name)
  if (!server.isStandby) {
    await ensurePublication(control, second, [], server, 'inserts')
    await noteBegin(control, second)
  }
  // Only now: what is published is published from a place on that is on record.
  const alsoLocked = await ensurePublication(control, second, inserts, server, 'inserts')
  return { unidentified, locked: new Map([...locked, ...alsoLocked]) }
}

/** Members of the publication $1, and tables among $2, that have a part without an identity. */
const unidentifiedSql = `
  WITH candidates AS (
    SELECT r.prrelid AS oid, true AS is_member FROM pg_publication p
    JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE p.pubname = $1
    UNION ALL SELECT t.oid, false FROM unnest($2::oid[]) t (oid)
  ), parts AS (
    SELECT oid AS whole, oid AS part FROM candidates
    UNION SELECT t.root::oid, t.node::oid
    FROM (${partitionTreeSql('ARRAY(SELECT oid FROM candidates)')}) t WHERE t.node IS NOT NULL
  )
  SELECT w.oid::text AS id, n.nspname AS schema, w.relname AS name,
    (SELECT bool_or(a.is_member) FROM candidates a WHERE a.oid = w.oid) AS is_member
  FROM pg_class w
  JOIN pg_namespace n ON n.oid = w.relnamespace
  WHERE w.oid IN (SELECT p.whole FROM parts p JOIN pg_class c ON c.oid = p.part
    WHERE c.relkind = 'r' AND CASE WHEN c.relreplident = 'f'
    -- Virtual generated columns (version 18) can not be published, and a full identity has them.
    THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 'v'
      AND NOT a.attisdropped)
    ELSE (c.relreplident = 'n' OR NOT EXISTS (SELECT 1 FROM pg_index i
      WHERE i.indrelid = c.oid AND ${identifiesRows('c')})) END)`

export interface Unidentified {
  /** Tables that may not be published with their updates. */
  readonly ids: ReadonlySet<TableId>
  /** Some of them were published by us and are not any more. */
  readonly wereDropped: boolean
}

/**
 * Finds tables of which the server would refuse updates once they are published, because they or
 * one of their partitions have no identity: a partition does not inherit that of its root. Takes
 * them out of the publication where that is ours.
 */
export async function dropUnidentified(
  control: Control,
  name: string,
  tables: readonly SourceTable[],
  { version, isStandby }: ServerState,
): Promise<Unidentified> {
  if (isStandby) return { ids: new Set(), wereDropped: false }
  const whole = tables.filter((table) => !isInsertOnly(table)).map(({ id }) => id)
  const rows = await control.query(unidentifiedSql, [name, idArray(whole)])
  const ids = new Set(rows.map((row) => row['id'] as TableId))
  const members = rows.filter((row) => row['is_member'] === 't')
  if (members.length === 0) return { ids, wereDropped: false }
  const { isOurs } = await readPublication(control, name, [], version)
  if (!isOurs) return { ids, wereDropped: false }
  for (const row of members) {
    await dropMember(control, name, { schema: row['schema'] ?? '', table: row['name'] ?? '' })
  }
  return { ids, wereDropped: true }
}

const beginText = `${ourComment}; to be read from `

/** Servers before 18 can not read a place in the log at which a publication did not exist yet. */
async function noteBegin(control: Control, name: string): Promise<void> {
  const comment = await commentOf(control, name)
  if (comment !== ourComment) return
  const begin = formatLsn(await insertedTo(control))
  await control.query(`COMMENT ON PUBLICATION ${quoteIdentifier(name)} IS '${beginText}${begin}'`)
}

async function commentOf(control: Control, name: string): Promise<string | undefined> {
  const [row] = await control.query(
    `SELECT obj_description(oid, 'pg_publication') AS comment FROM pg_publication WHERE pubname = $1`,
    [name],
  )
  return row === undefined ? undefined : (row['comment'] ?? '')
}

/** The publications a stream that goes on from `from` may name. */
export async function publicationsFrom(
  control: Control,
  name: string,
  from: Lsn,
): Promise<readonly string[]> {
  const second = insertsNameOf(name)
  const comment = await commentOf(control, second)
  if (comment === undefined || comment === ourComment) return [name]
  const begin = comment.startsWith(beginText) ? parseLsn(comment.slice(beginText.length)) : zeroLsn
  return from < begin ? [name] : [name, second]
}

/** Drops those that we made; returns their names. */
export async function dropPublications(control: Control, name: string): Promise<readonly string[]> {
  const dropped: string[] = []
  for (const one of publicationNamesOf(name)) {
    if (await dropPublication(control, one)) dropped.push(one)
  }
  return dropped
}
