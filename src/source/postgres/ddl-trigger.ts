/**
 * The optional event triggers: what a person may install so that every change of a table is described
 * in the log, at its exact place among the rows. We never install them; `check` shows the script.
 *
 * Each change becomes a transactional logical message with the prefix `sluice`: JSON that names the
 * version, a token that only the installer and the role of the gateway can read (anybody may write
 * messages), and what the catalog said then.
 */
import type { Control } from './control.ts'
import { plainColumnsSql, tablesSql } from './discover.ts'
import { sqlStateOf } from './server-error.ts'
import { quoteIdentifier } from './sql-text.ts'

/** Of the script; another one is installed anew. */
export const triggerVersion = 3

const events = ['ddl_command_end', 'sql_drop', 'table_rewrite'] as const
const comment = `sluice: changes of tables, version ${triggerVersion}`
/** Larger descriptions are left out; a look at the catalog tells as well, but later. */
const mostBytes = 200_000
/** Tables described by one statement: itself, its whole, then those below it. */
const mostTables = 100

const nameOf = (event: string): string => `sluice_${event}`

export function uninstallScript(): string {
  return [
    ...events.map((event) => `DROP EVENT TRIGGER IF EXISTS ${nameOf(event)};`),
    'DROP FUNCTION IF EXISTS sluice.ddl_event(), sluice.ddl_describe(oid[]), sluice.ddl_emit(json);',
    'DROP TABLE IF EXISTS sluice.ddl_token;',
  ].join('\n')
}

/** Statements for a superuser; `role` is the gateway's. */
export function installScript(role: string): string {
  return `BEGIN;
CREATE SCHEMA IF NOT EXISTS sluice;
ALTER SCHEMA sluice OWNER TO CURRENT_USER;
${uninstallScript()}
REVOKE ALL ON SCHEMA sluice FROM PUBLIC;
CREATE TABLE sluice.ddl_token (token uuid NOT NULL);
REVOKE ALL ON sluice.ddl_token FROM PUBLIC;
INSERT INTO sluice.ddl_token VALUES (gen_random_uuid());
${grantStatements(role)}
${describeFunction}
${emitFunction}
${eventFunction}
REVOKE ALL ON FUNCTION sluice.ddl_event(), sluice.ddl_describe(oid[]), sluice.ddl_emit(json) FROM PUBLIC;
${events
  .map(
    (
      event,
    ) => `CREATE EVENT TRIGGER ${nameOf(event)} ON ${event} EXECUTE FUNCTION sluice.ddl_event();
ALTER EVENT TRIGGER ${nameOf(event)} ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER ${nameOf(event)} IS '${comment}';`,
  )
  .join('\n')}
COMMIT;`
}

export function grantStatements(role: string): string {
  const shown = quoteIdentifier(role)
  return `GRANT USAGE ON SCHEMA sluice TO ${shown};\nGRANT SELECT ON sluice.ddl_token TO ${shown};`
}

export function enableStatements(): string {
  return events.map((event) => `ALTER EVENT TRIGGER ${nameOf(event)} ENABLE ALWAYS;`).join('\n')
}

/** So that values have the same text whatever the session says. */
const settings = `SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres'
  SET TimeZone = 'UTC' SET extra_float_digits = '3' SET bytea_output = 'hex' SET quote_all_identifiers = 'off'`

/**
 * The rows that `discover` reads. `own`: columns made or changed by the transaction that runs, told
 * by the id in their row of the catalog, which has to be made 64 bits long first.
 */
const describeFunction = `CREATE FUNCTION sluice.ddl_describe(oid[]) RETURNS SETOF json LANGUAGE sql ${settings} AS $sluice$
SELECT json_build_object('table', row_to_json(t),
  'columns', (SELECT json_agg(row_to_json(c) ORDER BY c.attnum::int) FROM (${plainColumnsSql}) c WHERE c.id = t.id),
  'own', (SELECT json_agg(o.attnum::text) FROM (SELECT a.attnum, x.now,
        ((x.now >> 32) << 32) | a.xmin::text::bigint AS made
      FROM pg_attribute a, (SELECT pg_current_xact_id()::text::bigint AS now) x
      WHERE a.attrelid = t.id::oid AND a.attnum > 0 AND NOT a.attisdropped) o
    WHERE pg_xact_status((CASE WHEN o.made > o.now + 2147483648 THEN greatest(o.made - 4294967296, 3)
      ELSE o.made END)::text::xid8) = 'in progress'))
FROM (${tablesSql} AND c.oid = ANY ($1::oid[])) t
$sluice$;`

/**
 * A message stands in the order of the log by where its record ends, a row by where it begins: a row
 * right after a message, of another subtransaction, may come before it. So an empty one stands between.
 */
const emitFunction = `CREATE FUNCTION sluice.ddl_emit(body json) RETURNS void LANGUAGE plpgsql ${settings} AS $sluice$
DECLARE
  head text := json_build_object('version', ${triggerVersion}, 'token', (SELECT token FROM sluice.ddl_token))::text;
BEGIN
  IF octet_length(body::text) > ${mostBytes} THEN body := json_build_object('kind', 'unknown'); END IF;
  PERFORM pg_logical_emit_message(true, 'sluice',
    json_build_object('head', head::json, 'body', body)::text);
  PERFORM pg_logical_emit_message(true, 'sluice', '');
END
$sluice$;`

/** Whatever goes wrong in it, the statement that is being watched does not fail. */
const eventFunction = `CREATE FUNCTION sluice.ddl_event() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER ${settings} AS $sluice$
DECLARE
  changed oid[] := '{}';
  affected oid[];
  one oid;
  what text;
  described json;
BEGIN
  BEGIN
    IF TG_EVENT = 'table_rewrite' THEN
      -- 1: unlogged for a while, 2: a default that is computed for each row, 4: another type. Others leave rows as they are.
      IF pg_event_trigger_table_rewrite_reason() & 7 <> 0 THEN
        PERFORM sluice.ddl_emit(json_build_object('kind', 'rewritten', 'id', pg_event_trigger_table_rewrite_oid()::text));
      END IF;
      RETURN;
    ELSIF TG_EVENT = 'sql_drop' THEN
      SELECT coalesce(array_agg(DISTINCT objid) FILTER (WHERE classid = 'pg_class'::regclass AND objsubid > 0), '{}'),
        max(CASE WHEN object_type LIKE 'publication%' OR (object_type = 'table' AND NOT is_temporary) THEN 'look' END)
      INTO changed, what FROM pg_event_trigger_dropped_objects();
    ELSE
      SELECT coalesce(array_agg(DISTINCT objid) FILTER (WHERE classid = 'pg_class'::regclass), '{}'),
        max(CASE WHEN object_type LIKE 'publication%' OR object_type IN ('type', 'domain', 'schema') THEN 'look' END)
      INTO changed, what FROM pg_event_trigger_ddl_commands();
    END IF;
    IF what IS NOT NULL THEN PERFORM sluice.ddl_emit(json_build_object('kind', what)); END IF;
    SELECT array_agg(f.id) INTO affected FROM (
      WITH RECURSIVE below (id, depth) AS (
        SELECT c.oid, 0 FROM pg_class c WHERE c.oid = ANY (changed)
          AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
        UNION SELECT i.inhrelid, b.depth + 1 FROM below b JOIN pg_inherits i ON i.inhparent = b.id)
      SELECT n.id FROM (SELECT id, depth FROM below
        UNION ALL SELECT pg_partition_root(id), 0 FROM below WHERE depth = 0) n
      WHERE n.id IS NOT NULL GROUP BY n.id ORDER BY min(n.depth), n.id LIMIT ${mostTables}) f;
    IF affected IS NULL THEN RETURN; END IF;
    FOREACH one IN ARRAY affected LOOP
      FOR described IN SELECT * FROM sluice.ddl_describe(ARRAY[one]) LOOP
        PERFORM sluice.ddl_emit(json_build_object('kind', 'table', 'description', described));
      END LOOP;
    END LOOP;
  EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'sluice could not describe this change (%); it is found without', SQLSTATE;
    BEGIN
      PERFORM sluice.ddl_emit(json_build_object('kind', 'unknown'));
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END;
END
$sluice$;`

export type TriggerState =
  | { readonly kind: 'missing' | 'old' | 'disabled' | 'unreadable' }
  | { readonly kind: 'ready'; readonly token: string }

const stateSql = `
  SELECT count(*)::text AS found,
    count(*) FILTER (WHERE obj_description(e.oid, 'pg_event_trigger') = $1)::text AS present,
    count(*) FILTER (WHERE e.evtenabled IN ('A', 'O'))::text AS enabled,
    coalesce(current_setting('event_triggers', true), 'on') AS setting
  FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = 'sluice' AND e.evtname = ANY ($2::text[])`

/** Of this database. */
export async function readTriggerState(control: Pick<Control, 'query'>): Promise<TriggerState> {
  const names = `{${events.map(nameOf).join(',')}}`
  const [row] = await control.query(stateSql, [comment, names])
  if (row === undefined || row['found'] === '0') return { kind: 'missing' }
  const all = String(events.length)
  if (row['present'] !== all) return { kind: 'old' }
  if (row['enabled'] !== all || row['setting'] === 'off') return { kind: 'disabled' }
  try {
    const [found] = await control.query('SELECT token::text FROM sluice.ddl_token')
    const token = found?.['token'] ?? undefined
    return token === undefined ? { kind: 'old' } : { kind: 'ready', token }
  } catch (error) {
    if (sqlStateOf(error) === undefined) throw error
    return { kind: 'unreadable' }
  }
}
