/** A pgoutput decoder whose caller binds every announced relation to the table of that name. */
import type { Position } from '../../src/source/source.ts'
import type { RowIdentity, SourceTable, TableId } from '../../src/source/table-schema.ts'
import {
  createPgoutputDecoder,
  type PgoutputDecoder,
} from '../../src/source/postgres/pgoutput/decode.ts'
import { bindRelation, type RelationBinding } from '../../src/source/postgres/pgoutput/relation.ts'
import { mapPostgresType, typeOid } from '../../src/source/postgres/types.ts'
import * as write from './pgoutput-writer.ts'
import { recordingSink, type RecordingSink } from './recording-sink.ts'

export const time = 1_700_000_000_123_456n
export const oid = 4_000_000_001

export const written: readonly write.WrittenColumn[] = [
  { name: 'id', typeOid: typeOid.int8, isKey: true },
  { name: 'part', typeOid: typeOid.text, isKey: true },
  { name: 'body', typeOid: typeOid.text },
  { name: 'price', typeOid: typeOid.numeric, typmod: ((12 << 16) | 2) + 4 },
]

export function tableOf(name: string, id: number, columns = written): SourceTable {
  return {
    id: `${id}` as TableId,
    name: { catalog: 'db', schema: 'public', table: name },
    schema: {
      columns: columns.map((column) => ({
        name: column.name,
        type: mapPostgresType({ typmod: -1, ...column, typtype: 'b' }).type,
        sourceType: '',
        nullable: true,
      })),
      key: columns.filter((column) => column.isKey === true).map((column) => column.name),
    },
    estimatedRows: undefined,
    estimatedBytes: undefined,
  }
}

export interface Harness {
  readonly sink: RecordingSink
  readonly decoder: PgoutputDecoder
  readonly feed: (...messages: Buffer[]) => void
}

export function harness(
  options: {
    wanted?: (table: SourceTable) => boolean
    ignore?: number
    /** Of every table. */
    identity?: RowIdentity
  } = {},
): Harness {
  const sink = recordingSink(options.wanted)
  const relations = new Map<number, RelationBinding | 'ignored'>()
  const decoder = createPgoutputDecoder({
    sink,
    relations,
    position: (endLsn) => `at ${endLsn}` as Position,
  })
  const feed = (...messages: Buffer[]): void => {
    for (const message of messages) {
      const bytes = Buffer.concat([Buffer.from('head'), message, Buffer.from('tail')])
      if (decoder.message(bytes, 4, 4 + message.length) !== 'relation') continue
      const relation = decoder.relation
      if (relation === undefined) throw new Error('no relation')
      if (relation.oid === options.ignore) {
        relations.set(relation.oid, 'ignored')
        continue
      }
      const columns = relation.columns.map((column) => ({
        ...column,
        isKey: written.some(({ name, isKey }) => name === column.name && isKey === true),
      }))
      const decoders = columns.map(
        (column) => mapPostgresType({ ...column, typtype: 'b' }, { isKey: column.isKey }).decoder,
      )
      const keyed = tableOf(relation.table, relation.oid, columns)
      const { identity } = options
      const table =
        identity === undefined
          ? keyed
          : { ...keyed, schema: { ...keyed.schema, key: [], identity } }
      const bound = bindRelation(relation, table, decoders)
      if (bound.kind !== 'bound') throw new Error(bound.kind)
      relations.set(relation.oid, bound.binding)
    }
  }
  return { sink, decoder, feed }
}

export const announced = write.relation(oid, 'items', written)
export const announcedFull = write.relation(
  oid,
  'items',
  written.map((column) => ({ ...column, isKey: true })),
  'f',
)
