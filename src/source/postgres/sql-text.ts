/** Quoting for statements that take no parameters (DDL, COPY, replication commands). */
import type { SourceTableName } from '../table-schema.ts'

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Safe whatever `standard_conforming_strings` is. */
export function quoteLiteral(text: string): string {
  const doubled = text.replaceAll("'", "''")
  return doubled.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}

/** `"schema"."table"`. */
export function quoteTable(name: SourceTableName): string {
  return `${quoteIdentifier(name.schema)}.${quoteIdentifier(name.table)}`
}

/** `schema.table` for people. */
export function shownTable(name: SourceTableName): string {
  return `${name.schema}.${name.table}`
}

/** An array parameter: `{1,2,3}`. Elements are numbers only. */
export function idArray(ids: readonly string[]): string {
  return `{${ids.filter((id) => /^[0-9]+$/.test(id)).join(',')}}`
}

/** An array parameter of any texts. */
export function textArray(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`
}

/** A standby takes no statement that changes anything: the same, with where to run it. */
export function onPrimary(statements: string): string {
  return `-- On the primary:\n${statements}`
}
