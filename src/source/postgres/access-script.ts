/**
 * Everything that a role needs of a database which it cannot even enter: written without a look at
 * it, so the script looks itself. For somebody who may grant all of it.
 */
import { identifiesRows } from './catalog-parts.ts'
import { createStatement, withStoredGenerated } from './publication.ts'
import { quoteIdentifier, quoteLiteral, quoteTable } from './sql-text.ts'

export interface AccessScriptOptions {
  readonly role: string
  readonly database: string
  readonly publicationName: string
  /** Of which every table is chosen. */
  readonly schemas: readonly string[]
  /** Chosen by name. */
  readonly tables: readonly { readonly schema: string; readonly table: string }[]
}

/** Tables and roots of partitions whose rows the log identifies; others would be harmed by it. */
function publishableSql({ publicationName, schemas, tables }: AccessScriptOptions): string {
  const list = (texts: readonly string[]): string => texts.map(quoteLiteral).join(', ')
  const whole =
    schemas.length === 0 ? 'false' : `n.nspname IN (${list(schemas)}) AND NOT c.relispartition`
  const named = tables.map(
    ({ schema, table }) =>
      `(n.nspname = ${quoteLiteral(schema)} AND c.relname = ${quoteLiteral(table)})`,
  )
  return `SELECT c.oid, n.nspname, c.relname, c.relrowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND (${[whole, ...named].join(' OR ')})
      AND NOT EXISTS (SELECT FROM pg_class l
        WHERE l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf UNION SELECT c.oid WHERE c.relkind = 'r')
          AND NOT CASE l.relreplident WHEN 'n' THEN false
            WHEN 'f' THEN NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = l.oid AND NOT a.attisdropped
              AND (a.attgenerated = 'v' OR (a.attgenerated = 's' AND EXISTS (SELECT FROM pg_publication u
                WHERE u.pubname = ${quoteLiteral(publicationName)} AND to_jsonb(u) ->> 'pubgencols' <> 's'))))
            ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = l.oid AND ${identifiesRows('l')}) END)`
}

/** One paste for psql: the statements, and a block that publishes what can be published. */
export function accessScript(options: AccessScriptOptions): string {
  const { database, publicationName, schemas, tables } = options
  const role = quoteIdentifier(options.role)
  const all = [...new Set([...schemas, ...tables.map(({ schema }) => schema)])]
  const list = (names: readonly string[]): string => names.map(quoteIdentifier).join(', ')
  const named = tables.map(quoteTable).join(', ')
  return [
    `-- in database ${quoteIdentifier(database)}, as a superuser or the administrator of a managed service:`,
    `GRANT CONNECT ON DATABASE ${quoteIdentifier(database)} TO ${role};`,
    `ALTER ROLE ${role} REPLICATION; -- on Amazon RDS and Aurora instead: GRANT rds_replication TO ${role};`,
    ...(all.length === 0 ? [] : [`GRANT USAGE ON SCHEMA ${list(all)} TO ${role};`]),
    ...(schemas.length === 0
      ? []
      : [`GRANT SELECT ON ALL TABLES IN SCHEMA ${list(schemas)} TO ${role};`]),
    ...(tables.length === 0 ? [] : [`GRANT SELECT ON TABLE ${named} TO ${role};`]),
    'DO $sluice$ DECLARE t record; BEGIN',
    `  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = ${quoteLiteral(publicationName)}) THEN`,
    `    ${createStatement(publicationName, [])}`,
    `    IF current_setting('server_version_num')::int >= 180000 THEN`,
    `      ALTER PUBLICATION ${quoteIdentifier(publicationName)} SET (${withStoredGenerated});`,
    '    END IF;',
    '  END IF;',
    `  FOR t IN ${publishableSql(options)} LOOP`,
    `    IF NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = ${quoteLiteral(publicationName)} AND r.prrelid = t.oid) THEN`,
    `      EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY %I.%I', ${quoteLiteral(publicationName)}, t.nspname, t.relname);`,
    '    END IF;',
    '    -- Where row-level security would hide rows from the role; it then reads all rows of every table it may read.',
    `    IF t.relrowsecurity THEN ALTER ROLE ${role} BYPASSRLS; END IF;`,
    '  END LOOP;',
    'END $sluice$;',
  ].join('\n')
}
