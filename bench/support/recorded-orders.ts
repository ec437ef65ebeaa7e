/**
 * Twelve mixed columns, about 220 bytes a row, as a PostgreSQL server really sends them: pgoutput
 * messages of inserts, and COPY rows of the same table.
 */
import { startEmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import { createOrders, insertOrders } from './orders.ts'
import type { SourceColumn, SourceTable, TableId } from '../../src/source/table-schema.ts'
import type { CellDecoder } from '../../src/source/postgres/cell-decoder.ts'
import { mapPostgresType } from '../../src/source/postgres/types.ts'

export interface RecordedOrders {
  readonly table: SourceTable
  readonly decoders: readonly CellDecoder[]
  readonly rowCount: number
  /** Message i is `pgoutput[offsets[i], offsets[i + 1])`. */
  readonly pgoutput: Buffer
  readonly offsets: Int32Array
  /** COPY rows, back to back, each with its newline. */
  readonly copy: Buffer
  readonly copyOffsets: Int32Array
}

interface CatalogColumn {
  readonly attname: string
  readonly atttypid: number
  readonly atttypmod: number
  readonly formatted: string
  readonly nullable: boolean
}

/** Starts a server, records, and stops it. `rowCount` rows in transactions of 10 000. */
export async function recordOrders(rowCount: number): Promise<RecordedOrders> {
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off', timezone: 'UTC' } })
  const client = await server.connect()
  try {
    await client.query(createOrders)
    await client.query('create publication bench for table orders')
    await client.query(`select pg_create_logical_replication_slot('bench', 'pgoutput')`)
    for (let first = 1; first <= rowCount; first += 10_000) {
      await client.query(insertOrders(first, Math.min(rowCount, first + 9_999)))
    }
    const catalog = await client.query<CatalogColumn>(`
      select attname, atttypid::int, atttypmod, format_type(atttypid, atttypmod) as formatted,
        not attnotnull as nullable
      from pg_attribute where attrelid = 'orders'::regclass and attnum > 0 order by attnum`)
    const oid = await client.query<{ oid: string }>(`select 'orders'::regclass::oid::text as oid`)
    const messages: Buffer[] = []
    for (;;) {
      const some = await client.query<{ data: Buffer }>(`
        select data from pg_logical_slot_get_binary_changes('bench', null, 50000,
          'proto_version', '1', 'publication_names', 'bench')`)
      if (some.rows.length === 0) break
      for (const row of some.rows) messages.push(row.data)
    }
    const copied = await client.query<{ line: string }>(`
      select concat_ws(e'\\t', id, customer_id, status, quantity, amount, rate, is_paid::text::"char",
        order_day, created_at, coalesce(updated_at::text, '\\N'), reference, coalesce(note, '\\N'))
        || e'\\n' as line
      from orders order by id`)
    const lines = copied.rows.map(({ line }) => Buffer.from(line))
    const columns = catalog.rows.map(toSourceColumn)
    return {
      table: {
        id: (oid.rows[0]?.oid ?? '') as TableId,
        name: { catalog: 'postgres', schema: 'public', table: 'orders' },
        schema: { columns: columns.map(({ column }) => column), key: ['id'] },
        estimatedRows: rowCount,
        estimatedBytes: undefined,
      },
      decoders: columns.map(({ decoder }) => decoder),
      rowCount,
      pgoutput: Buffer.concat(messages),
      offsets: offsetsOf(messages),
      copy: Buffer.concat(lines),
      copyOffsets: offsetsOf(lines),
    }
  } finally {
    await client.end()
    await server.stop()
  }
}

function toSourceColumn(row: CatalogColumn): { column: SourceColumn; decoder: CellDecoder } {
  const mapped = mapPostgresType({ typeOid: row.atttypid, typmod: row.atttypmod, typtype: 'b' })
  const column: SourceColumn = {
    name: row.attname,
    type: mapped.type,
    sourceType: row.formatted,
    nullable: row.nullable || mapped.mayBecomeNull,
  }
  return { column, decoder: mapped.decoder }
}

function offsetsOf(parts: readonly Buffer[]): Int32Array {
  const offsets = new Int32Array(parts.length + 1)
  for (const [index, part] of parts.entries()) {
    offsets[index + 1] = (offsets[index] ?? 0) + part.length
  }
  return offsets
}
