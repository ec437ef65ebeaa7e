/** Tables and their columns from pg_catalog. */
import type { Log } from '../../observe/log.ts'
import type {
  SourceColumn,
  SourceTable,
  SourceTableName,
  TableId,
  TableSchema,
} from '../table-schema.ts'
import { filesOfPartitions, identifiesRows, isNamed, partitions } from './catalog-parts.ts'
import type { CellDecoder } from './cell-decoder.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import { publicationNamesOf } from './insert-publication.ts'
import { moneyProbe, parseMoneyFormat } from './cell-money.ts'
import { idArray, shownTable, textArray } from './sql-text.ts'
import { labelsOfType } from './type-labels.ts'
import { mapPostgresType, type PostgresColumnType } from './types.ts'

/** A column as the catalog has it. */
export interface CatalogColumn extends PostgresColumnType {
  readonly name: string
  /** `format_type()`, qualified where the type is not in pg_catalog. */
  readonly formatted: string
  readonly isNotNull: boolean
  /** `pg_attribute.attnum`; undefined when the catalog does not tell which column it was. */
  readonly attnum: string | undefined
  /** A stored generated column that the publication sends. */
  readonly isGenerated?: true
  /**
   * What rows have that are older than the column (`pg_attribute.attmissingval`): NULL or the text
   * of a value; `unreadable` when the text does not tell. Absent where the catalog was not asked.
   */
  readonly missing?: { readonly text: string | null } | 'unreadable'
}

export interface PrimaryKey {
  /** Of the constraint. */
  readonly name: string
  /** In key order. */
  readonly columns: readonly string[]
}

export interface CatalogTable {
  readonly table: SourceTable
  /** Those of `table.schema.columns`, in their order. */
  readonly decoders: readonly CellDecoder[]
  readonly columns: readonly CatalogColumn[]
  /** Names of generated columns that are left out: virtual ones, and stored ones that the log does not have. */
  readonly generated: readonly string[]
  /**
   * With such columns left out, replica identity full has the server refuse everybody's updates and
   * deletes of a published table (version 18).
   */
  readonly isFullRefused: boolean
  /** Numbers of all columns that the table has, generated ones included. */
  readonly attnums: readonly number[]
  /** `pg_class.relkind`: r ordinary, p partitioned, f foreign. */
  readonly kind: string
  /** `pg_class.relpersistence`: p permanent, u unlogged, t temporary. */
  readonly persistence: string
  /** `pg_class.relreplident`: d default, n nothing, f full, i index. */
  readonly replicaIdentity: string
  readonly isPartition: boolean
  /**
   * A publication of ours names this very table, so that the server refuses to make it unlogged;
   * undefined where the catalog was not asked.
   */
  readonly isNamed: boolean | undefined
  /** The 32-bit id of the (sub)transaction that last changed its entry in pg_class; 0: not asked. */
  readonly placedBy: number
  /** Of a partitioned table without a key: the partitions that hold rows here. */
  readonly partitions: readonly Pick<SourceTableName, 'schema' | 'table'>[]
  /** A unique index that can be made the replica identity. */
  readonly identityIndex: string | undefined
  /** Also one that is checked late, which is no key of ours. */
  readonly primaryKey: PrimaryKey | undefined
}

/** Those that hold rows here; by the catalog alone, as pg_partition_tree() waits for locks. */
const namesOfPartitions = `(WITH RECURSIVE below (id) AS (
    SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
    UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.id
  ) SELECT json_agg(json_build_object('schema', ln.nspname, 'table', l.relname)
      ORDER BY ln.nspname, l.relname)
    FROM below JOIN pg_class l ON l.oid = below.id AND l.relkind = 'r'
    JOIN pg_namespace ln ON ln.oid = l.relnamespace)`

/** `AND …` can follow. */
export const tablesSql = `
  SELECT c.oid::text AS id, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
    (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid
          AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.attnotnull)
      ORDER BY i.indnkeyatts, x.relname LIMIT 1) AS identity_index,
    (SELECT json_build_object('name', p.conname, 'columns',
        (SELECT json_agg(a.attname ORDER BY u.place)
          FROM unnest(p.conkey) WITH ORDINALITY AS u (attnum, place)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum))
      FROM pg_constraint p WHERE p.conrelid = c.oid AND p.contype = 'p') AS primary_key,
    c.relpersistence AS persistence, c.relreplident AS identity, c.relispartition AS is_partition,
    CASE WHEN c.relispartition THEN (SELECT json_build_object('schema', rn.nspname, 'table', r.relname)
      FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace
      WHERE r.oid = pg_partition_root(c.oid)) END AS part_of,
    current_database() AS catalog,
    CASE WHEN c.reltuples < 0 OR (c.reltuples = 0 AND c.relpages = 0) THEN NULL
      ELSE c.reltuples::bigint::text END AS rows,
    -- By statistics: pg_total_relation_size() waits for whoever truncates the table.
    CASE WHEN c.relkind = 'r' AND c.relpages > 0 THEN ((c.relpages::bigint
      + coalesce((SELECT x.relpages FROM pg_class x WHERE x.oid = c.reltoastrelid), 0))
      * current_setting('block_size')::int)::text END AS bytes,
    CASE WHEN c.relkind = 'p' AND k.names IS NULL THEN ${namesOfPartitions} END AS partitions,
    k.names AS key
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT json_agg(a.attname ORDER BY u.place) AS names
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
    WHERE i.indrelid = c.oid AND u.place <= i.indnkeyatts AND ${identifiesRows('c')}
  ) k ON true
  WHERE c.relkind IN ('r', 'p', 'f')`

/** Domains resolved to their innermost base. */
const typeJoins = `
  JOIN pg_type t ON t.oid = a.type_oid
  LEFT JOIN LATERAL (
    WITH RECURSIVE chain (base, typmod, kind) AS (
      SELECT t.typbasetype, t.typtypmod, b.typtype FROM pg_type b
        WHERE t.typtype = 'd' AND b.oid = t.typbasetype
      UNION ALL
      SELECT d.typbasetype, d.typtypmod, b.typtype
        FROM chain JOIN pg_type d ON d.oid = chain.base JOIN pg_type b ON b.oid = d.typbasetype
        WHERE chain.kind = 'd'
    ) SELECT base, typmod FROM chain WHERE kind <> 'd'
  ) base ON true`

const typeColumns = `t.typtype AS kind, base.base::text AS base, base.typmod::text AS base_typmod,
  format_type(a.type_oid, a.typmod) AS formatted,
  CASE WHEN t.oid = 'money'::regtype THEN json_build_array(${moneyProbe}::money::text,
    (-${moneyProbe})::money::text, scale(1::money::numeric)) END AS money`

/**
 * Whether stored generated columns are in the log (version 18): asked of the publications that are
 * there, of ours and of one that somebody made; one that is still to be made has them. NULL: they
 * never are.
 */
const publishesStored = `CASE WHEN current_setting('server_version_num')::int >= 180000
  THEN NOT EXISTS (SELECT FROM pg_publication u
    WHERE u.pubname = ANY ($2::name[]) AND to_jsonb(u) ->> 'pubgencols' IS DISTINCT FROM 's') END`

const columnsSqlWith = (stored: string, named?: string): string => `
  SELECT a.id, a.name, a.place::text AS attnum, a.type_oid::text, a.typmod::text, a.not_null, a.generated, ${stored} AS publishes_stored,
    a.xmin, a.has_missing, a.file, a.last,${named === undefined ? '' : ' a.named, a.placed_by,'}
    -- Inside an array the value stands as its own text, unless its type has another separator.
    CASE WHEN t.typdelim = ',' THEN (a.missing::text[])[1] END AS missing,
    ${labelsOfType} AS labels, ${typeColumns}
  FROM (SELECT p.attrelid::text AS id, p.attname AS name, p.atttypid AS type_oid, p.atttypmod AS typmod,
      p.attnotnull AS not_null, p.attgenerated::text AS generated, p.attnum AS place, p.xmin::text AS xmin,
      p.atthasmissing OR l.has_missing AS has_missing, coalesce(p.attmissingval::text, l.missing) AS missing,
      c.relnatts::text AS last, c.file${named === undefined ? '' : ', c.named, c.placed_by'}
    FROM pg_attribute p
    JOIN (SELECT oid, relnatts, CASE relkind WHEN 'p' THEN ${partitions} END AS partitions,
        CASE relkind WHEN 'p' THEN ${filesOfPartitions} ELSE relfilenode::text END AS file${
          named === undefined
            ? ''
            : `,
        ${named} AS named, xmin::text AS placed_by`
        }
      FROM pg_class WHERE oid = ANY ($1::oid[]) OFFSET 0) c ON c.oid = p.attrelid
    -- A partitioned table has no rows, so what older ones have in a column is with its partitions: a
    -- value that only some of them have, as others were attached or written since, is none for all.
    CROSS JOIN LATERAL (SELECT coalesce(bool_or(m.atthasmissing), false) AS has_missing,
        CASE WHEN count(DISTINCT coalesce(m.attmissingval::text, '')) = 1 THEN min(m.attmissingval::text) END AS missing
      FROM pg_attribute m WHERE m.attrelid = ANY (c.partitions) AND m.attname = p.attname) l
    WHERE p.attnum > 0 AND NOT p.attisdropped) a
  ${typeJoins}
  ORDER BY a.id, a.place`

const columnsSql = columnsSqlWith(publishesStored, isNamed)

/** `$1`: oids of tables. Without what depends on a publication. */
export const plainColumnsSql = columnsSqlWith('NULL::text')

const typesSql = `
  SELECT a.type_oid::text, a.typmod::text, ${typeColumns}
  FROM unnest($1::oid[], $2::int4[]) AS a (type_oid, typmod)
  ${typeJoins}`

function optionalNumber(text: string | null | undefined): number | undefined {
  return text === null || text === undefined ? undefined : Number(text)
}

function moneyOf(probed: string | null | undefined): Pick<PostgresColumnType, 'money'> {
  if (probed === null || probed === undefined) return {}
  const [positive, negative, scale] = JSON.parse(probed) as [string, string, number]
  const money = parseMoneyFormat(positive, negative, scale)
  return money === undefined ? {} : { money }
}

function columnTypeOf(row: ControlRow): PostgresColumnType & { readonly formatted: string } {
  const base = optionalNumber(row['base'])
  return {
    typeOid: Number(row['type_oid']),
    typmod: Number(row['typmod']),
    typtype: row['kind'] ?? 'b',
    ...(base === undefined
      ? {}
      : { baseTypeOid: base, baseTypmod: optionalNumber(row['base_typmod']) ?? -1 }),
    ...moneyOf(row['money']),
    formatted: row['formatted'] ?? '',
  }
}

/** The schema's column and the decoder of its cells. */
export function mapColumn(
  column: CatalogColumn,
  isKey: boolean,
  onUnfit: () => void,
): { readonly column: SourceColumn; readonly decoder: CellDecoder } {
  const { type, decoder, mayBecomeNull } = mapPostgresType(column, { isKey, onUnfit })
  const nullable = !column.isNotNull || mayBecomeNull
  const { name, formatted: sourceType, attnum: id } = column
  const mapped = { name, type, sourceType, nullable, ...(id === undefined ? {} : { id }) }
  return { column: mapped, decoder }
}

/** One line the first time a column holds what its type in the destination can not. */
export function unfitNotice(log: Log, table: string, column: string): () => void {
  return () =>
    log.warn('a value does not fit its destination type; sluice.unfitValues decides', {
      table,
      column,
    })
}

function missingOf(column: ControlRow): NonNullable<CatalogColumn['missing']> {
  const text = column['missing'] ?? null
  if (column['has_missing'] !== 't') return { text: null }
  return text === null ? 'unreadable' : { text }
}

/** From the same look at the catalog as the columns. */
function storageOf(columns: readonly ControlRow[]): Pick<TableSchema, 'storage'> {
  const [first] = columns
  if (first === undefined) return {}
  const definition = columns.map((column) => `${column['attnum']}:${column['xmin']}`).join(' ')
  const all = columns.flatMap((column) =>
    Object.entries(JSON.parse(column['labels'] ?? '{}') as Record<string, string>),
  )
  const labels = JSON.stringify(Object.fromEntries(all))
  return {
    storage: {
      file: first['file'] ?? '',
      definition,
      lastColumn: Number(first['last']),
      ...(all.length === 0 ? {} : { labels }),
    },
  }
}

function sortColumns(rows: readonly ControlRow[]): Pick<CatalogTable, 'columns' | 'generated'> {
  const columns: CatalogColumn[] = []
  const generated: string[] = []
  for (const column of rows) {
    const columnName = column['name'] ?? ''
    const isSent = column['generated'] === 's' && column['publishes_stored'] === 't'
    if (column['generated'] !== '' && !isSent) generated.push(columnName)
    else
      columns.push({
        ...columnTypeOf(column),
        name: columnName,
        isNotNull: column['not_null'] === 't',
        attnum: column['attnum'] ?? undefined,
        missing: missingOf(column),
        ...(isSent ? { isGenerated: true } : {}),
      })
  }
  return { columns, generated }
}

/** From the rows of `tablesSql` and `columnsSql`. */
export function buildTable(row: ControlRow, rows: readonly ControlRow[], log: Log): CatalogTable {
  const name = {
    catalog: row['catalog'] ?? '',
    schema: row['schema'] ?? '',
    table: row['name'] ?? '',
  }
  const partOf = (JSON.parse(row['part_of'] ?? 'null') as SourceTableName | null) ?? undefined
  const { columns, generated } = sortColumns(rows)
  const catalogKey = row['key'] === null ? [] : (JSON.parse(row['key'] ?? '[]') as string[])
  const isWhole = catalogKey.every((key) => columns.some((column) => column.name === key))
  const replicaIdentity = row['identity'] ?? ''
  const named = rows[0]?.['named']
  // Nothing of a row's old values is in the log with identity nothing, a key neither.
  const key = isWhole && replicaIdentity !== 'n' ? catalogKey : []
  const isFullRow = key.length === 0 && replicaIdentity === 'f' && columns.length > 0
  const mapped = columns.map((column) =>
    mapColumn(column, key.includes(column.name), unfitNotice(log, shownTable(name), column.name)),
  )
  return {
    table: {
      id: (row['id'] ?? '') as TableId,
      name,
      schema: {
        columns: mapped.map(({ column }) => column),
        key,
        ...storageOf(rows),
        ...(isFullRow ? { identity: 'full-row' as const } : {}),
      },
      ...(row['kind'] === 'p' ? { isPartitioned: true } : {}),
      ...(partOf === undefined ? {} : { partOf: { catalog: name.catalog, ...partOf } }),
      estimatedRows: optionalNumber(row['rows']),
      estimatedBytes: optionalNumber(row['bytes']),
    },
    decoders: mapped.map(({ decoder }) => decoder),
    columns,
    generated,
    isFullRefused:
      generated.length > 0 && rows.some((column) => column['publishes_stored'] !== null),
    attnums: rows.map((column) => Number(column['attnum'])),
    kind: row['kind'] ?? '',
    persistence: row['persistence'] ?? '',
    replicaIdentity,
    isPartition: row['is_partition'] === 't',
    isNamed: named === undefined || named === null ? undefined : named === 't',
    placedBy: Number(rows[0]?.['placed_by'] ?? 0),
    partitions: JSON.parse(row['partitions'] ?? '[]') as CatalogTable['partitions'],
    identityIndex: row['identity_index'] ?? undefined,
    primaryKey: (JSON.parse(row['primary_key'] ?? 'null') as PrimaryKey | null) ?? undefined,
  }
}

/** Who asks. */
export interface DiscoverContext {
  readonly log: Log
  readonly publicationName: string
}

async function withColumns(
  control: Pick<Control, 'query'>,
  tables: readonly ControlRow[],
  { log, publicationName }: DiscoverContext,
): Promise<readonly CatalogTable[]> {
  if (tables.length === 0) return []
  const ids = idArray(tables.map((row) => row['id'] ?? ''))
  const names = textArray(publicationNamesOf(publicationName))
  const byTable = new Map<string, ControlRow[]>()
  for (const row of await control.query(columnsSql, [ids, names])) {
    const id = row['id'] ?? ''
    const columns = byTable.get(id)
    if (columns === undefined) byTable.set(id, [row])
    else columns.push(row)
  }
  return tables.map((row) => buildTable(row, byTable.get(row['id'] ?? '') ?? [], log))
}

/** Tables of the schemas, by schema and name; also those that cannot be captured. */
export async function discoverSchemas(
  control: Pick<Control, 'query'>,
  schemas: readonly string[],
  context: DiscoverContext,
): Promise<readonly CatalogTable[]> {
  const sql = `${tablesSql} AND n.nspname = ANY ($1::text[]) AND c.relpersistence <> 't'
    ORDER BY n.nspname, c.relname`
  return await withColumns(control, await control.query(sql, [textArray(schemas)]), context)
}

/** The tables that still exist, in no certain order. */
export async function discoverById(
  control: Pick<Control, 'query'>,
  ids: readonly TableId[],
  context: DiscoverContext,
): Promise<readonly CatalogTable[]> {
  const sql = `${tablesSql} AND c.oid = ANY ($1::oid[])`
  return await withColumns(control, await control.query(sql, [idArray(ids)]), context)
}

/** Types by oid and typmod, in the order asked; undefined for a type that is gone. */
export async function discoverTypes(
  control: Pick<Control, 'query'>,
  types: readonly { readonly typeOid: number; readonly typmod: number }[],
): Promise<readonly ((PostgresColumnType & { readonly formatted: string }) | undefined)[]> {
  const oids = idArray(types.map(({ typeOid }) => String(typeOid)))
  const typmods = `{${types.map(({ typmod }) => typmod).join(',')}}`
  const found = (await control.query(typesSql, [oids, typmods])).map(columnTypeOf)
  return types.map(({ typeOid, typmod }) =>
    found.find((type) => type.typeOid === typeOid && type.typmod === typmod),
  )
}
