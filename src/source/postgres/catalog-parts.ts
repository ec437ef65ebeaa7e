/** Parts of queries of the catalog. */

/** Files of the table `pg_class.oid`. By the catalog alone: pg_partition_tree() waits for whoever truncates a partition. */
export const filesOfPartitions = `(WITH RECURSIVE below (id) AS (
    SELECT pg_class.oid UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.id
  ) SELECT md5(string_agg(l.relfilenode::text, ' ' ORDER BY l.oid))
    FROM below JOIN pg_class l ON l.oid = below.id)`

/** The partitions of `pg_class.oid` that hold rows, here or elsewhere. */
export const partitions = `ARRAY(WITH RECURSIVE below (id) AS (
    SELECT pg_class.oid UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.id
  ) SELECT l.oid FROM below JOIN pg_class l ON l.oid = below.id WHERE l.relkind <> 'p')`

/**
 * A publication names the table `pg_class.oid`; `$2` is an array of their names. Not by a schema, or
 * as one of all: the server asks only for this before it makes a table unlogged.
 */
export const isNamed = `EXISTS (SELECT FROM pg_publication_rel e JOIN pg_publication u ON u.oid = e.prpubid
    WHERE e.prrelid = pg_class.oid AND u.pubname = ANY ($2::name[]))`

/**
 * The index `i` (pg_index) tells rows of `table` (pg_class) apart where their changes are sent. Two
 * rows may share a deferrable key inside a transaction: it does not say which one is meant.
 */
export function identifiesRows(table: string): string {
  return `i.indisvalid AND CASE ${table}.relreplident
    WHEN 'i' THEN i.indisreplident ELSE i.indisprimary AND i.indimmediate END`
}
