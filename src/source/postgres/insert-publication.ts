/**
 * Two publications. One publishes everything of tables whose rows can be identified. Tables that
 * are wanted for their inserts alone stand in a second one, which publishes nothing else: a table
 * without an identity in the first one would have its own UPDATE and DELETE refused by the server
 * (55000). For the same reason a table that has lost its identity is taken out of the first one.
 */
import type { SourceTable } from '../table-schema.ts'
import type { Control } from './control.ts'
import type { ServerState } from './log-guard.ts'
import { formatLsn, type Lsn, parseLsn, zeroLsn } from './lsn.ts'
import {
  dropMember,
  dropPublication,
  ensurePublication,
  ourComment,
  type PublicationState,
  readPublication,
} from './publication.ts'
import { quoteIdentifier } from './sql-text.ts'
import { insertedTo } from './wal-flush.ts'

/** A name has 63 bytes. */
export function insertsNameOf(name: string): string {
  return `${name.slice(0, 55)}_inserts`
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

/** Makes, extends and repairs both; see `ensurePublication`. */
export async function ensurePublications(
  control: Control,
  name: string,
  tables: readonly SourceTable[],
  server: ServerState,
): Promise<void> {
  const inserts = tables.filter(isInsertOnly)
  const whole = tables.filter((table) => !isInsertOnly(table))
  await ensurePublication(control, name, whole, server)
  if (!server.isStandby) await dropUnidentified(control, name, server)
  if (inserts.length === 0) return
  const second = insertsNameOf(name)
  if (!server.isStandby) {
    await ensurePublication(control, second, [], server, 'inserts')
    await noteBegin(control, second)
  }
  // Only now: what is published is published from a place on that is on record.
  await ensurePublication(control, second, inserts, server, 'inserts')
}

const unidentifiedSql = `
  SELECT n.nspname AS schema, c.relname AS name
  FROM pg_publication p
  JOIN pg_publication_rel r ON r.prpubid = p.oid
  JOIN pg_class c ON c.oid = r.prrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE p.pubname = $1 AND c.relkind = 'r' AND CASE WHEN c.relreplident = 'f'
    -- Virtual generated columns (version 18) can not be published, and a full identity has them.
    THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 'v'
      AND NOT a.attisdropped)
    ELSE (c.relreplident = 'n' OR NOT EXISTS (SELECT 1 FROM pg_index i
      WHERE i.indrelid = c.oid AND i.indisvalid AND CASE c.relreplident
        WHEN 'i' THEN i.indisreplident ELSE i.indisprimary AND i.indimmediate END)) END`

async function dropUnidentified(
  control: Control,
  name: string,
  { version }: ServerState,
): Promise<void> {
  const { isOurs } = await readPublication(control, name, [], version)
  if (!isOurs) return
  for (const row of await control.query(unidentifiedSql, [name])) {
    await dropMember(control, name, { schema: row['schema'] ?? '', table: row['name'] ?? '' })
  }
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
  for (const one of [name, insertsNameOf(name)]) {
    if (await dropPublication(control, one)) dropped.push(one)
  }
  return dropped
}
