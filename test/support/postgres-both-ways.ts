/** One table read as the snapshot reads it (COPY text) and as the stream reads it (pgoutput). */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import type { Column } from '../../src/columnar/column-batch.ts'
import { createColumnBuilder } from '../../src/columnar/column-builder.ts'
import type { ChangeSink } from '../../src/source/change-sink.ts'
import type { Position } from '../../src/source/source.ts'
import type { SourceTable, TableId } from '../../src/source/table-schema.ts'
import type { CellDecoder } from '../../src/source/postgres/cell-decoder.ts'
import { createCopyTextDecoder } from '../../src/source/postgres/copy-text.ts'
import { createPgoutputDecoder } from '../../src/source/postgres/pgoutput/decode.ts'
import { bindRelation, type RelationBinding } from '../../src/source/postgres/pgoutput/relation.ts'
import { moneyProbe, parseMoneyFormat } from '../../src/source/postgres/cell-money.ts'
import { mapPostgresType } from '../../src/source/postgres/types.ts'
import { rowTarget } from './column-values.ts'

export interface KnownTable {
  readonly table: SourceTable
  readonly decoders: readonly CellDecoder[]
}

/** Settings that every reading session of the product has. */
export const readingSettings = `
  set datestyle = 'ISO'; set intervalstyle = 'postgres'; set timezone = 'UTC';
  set extra_float_digits = 3; set bytea_output = 'hex'; set client_encoding = 'UTF8'`

interface CatalogRow {
  readonly attname: string
  readonly type_oid: number
  readonly atttypmod: number
  readonly typtype: string
  readonly base_oid: number
  readonly base_typmod: number
  readonly formatted: string
  readonly nullable: boolean
  readonly money: readonly string[]
}

/** What the catalog says of a table, by its name. */
export async function knownTable(
  client: pg.Client,
  name: string,
  key: readonly string[],
): Promise<KnownTable> {
  const { rows } = await client.query<CatalogRow>(
    `with recursive base(oid, typmod, root, depth) as (
       select oid, -1, oid, 0 from pg_type where typtype = 'd'
       union all
       select t.typbasetype, t.typtypmod, base.root, depth + 1
       from base join pg_type t on t.oid = base.oid where t.typtype = 'd')
     select attname, atttypid::int as type_oid, atttypmod, typtype::text,
       coalesce((select oid from base where root = t.oid order by depth desc limit 1), 0)::int as base_oid,
       coalesce((select typmod from base where root = t.oid order by depth desc limit 1), -1) as base_typmod,
       format_type(atttypid, atttypmod) as formatted, not attnotnull as nullable,
       array[${moneyProbe}::money::text, (-${moneyProbe})::money::text] as money
     from pg_attribute a join pg_type t on t.oid = atttypid
     where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
    [name],
  )
  const id = await client.query<{ id: string }>(`select $1::regclass::oid::text as id`, [name])
  const mapped = rows.map((row) => {
    const money = parseMoneyFormat(row.money[0] ?? '', row.money[1] ?? '', 2)
    return mapPostgresType({
      typeOid: row.type_oid,
      typmod: row.atttypmod,
      typtype: row.typtype,
      ...(row.base_oid === 0 ? {} : { baseTypeOid: row.base_oid, baseTypmod: row.base_typmod }),
      ...(money === undefined ? {} : { money }),
    })
  })
  return {
    table: {
      id: (id.rows[0]?.id ?? '') as TableId,
      name: { catalog: 'postgres', schema: 'public', table: name },
      schema: {
        columns: rows.map((row, index) => ({
          name: row.attname,
          type: mapped[index]?.type ?? { kind: 'string' },
          sourceType: row.formatted,
          nullable: row.nullable,
        })),
        key,
      },
      estimatedRows: undefined,
      estimatedBytes: undefined,
    },
    decoders: mapped.map(({ decoder }) => decoder),
  }
}

/** The table's columns by COPY text, rows in order of `id`. */
export async function copyTable(
  server: EmbeddedPostgres,
  client: pg.Client,
  known: KnownTable,
): Promise<readonly Column[]> {
  const columns = known.table.schema.columns.map(({ name, type }) =>
    createColumnBuilder(name, type),
  )
  const decoder = createCopyTextDecoder(known.decoders, rowTarget(columns))
  const file = join(server.folder, 'table.copy')
  // A file on the server holds exactly the bytes that CopyData messages would carry.
  await client.query(`copy (select * from ${known.table.name.table} order by id) to '${file}'`)
  const bytes = readFileSync(file)
  rmSync(file)
  for (let at = 0; at < bytes.length;) {
    const next = bytes.indexOf(10, at) + 1
    decoder.row(bytes, at, next)
    at = next
  }
  return columns.map((column) => column.finish())
}

/** Every change of the slot into `sink`; relations are bound to the table of the same name. */
export async function readChanges(
  client: pg.Client,
  slot: string,
  tables: readonly KnownTable[],
  sink: ChangeSink,
): Promise<void> {
  const { rows } = await client.query<{ data: Buffer }>(
    `select data from pg_logical_slot_get_binary_changes($1, null, null,
       'proto_version', '1', 'publication_names', 'everything')`,
    [slot],
  )
  const relations = new Map<number, RelationBinding | 'ignored'>()
  const decoder = createPgoutputDecoder({
    sink,
    relations,
    position: (endLsn) => `${endLsn}` as Position,
  })
  for (const { data } of rows) {
    if (decoder.message(data, 0, data.length) !== 'relation') continue
    const { relation } = decoder
    const known = tables.find(({ table }) => table.id === `${relation?.oid}`)
    if (relation === undefined) throw new Error('no relation')
    if (known === undefined) relations.set(relation.oid, 'ignored')
    else {
      const bound = bindRelation(relation, known.table, known.decoders)
      if (bound.kind !== 'bound') throw new Error(`${relation.table}: ${bound.kind}`)
      relations.set(relation.oid, bound.binding)
    }
  }
}
