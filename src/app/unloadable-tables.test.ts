import { describe, expect, test } from 'vitest'
import type { PipelineObject, TableConfiguration } from '../catalog/pipeline-definition.ts'
import type { SourceTable, TableId } from '../source/table-schema.ts'
import { unloadableTables } from './unloadable-tables.ts'

let count = 0

function table(name: string, columns: readonly string[] = [], schema = 'app'): SourceTable {
  const type = { kind: 'string' } as const
  return {
    id: String(++count) as TableId,
    name: { catalog: 'db', schema, table: name },
    schema: {
      columns: ['id', ...columns].map((column) => ({
        name: column,
        type,
        sourceType: 'text',
        nullable: column !== 'id',
      })),
      key: ['id'],
    },
    estimatedRows: undefined,
    estimatedBytes: undefined,
  }
}

function wholeSchema(
  configuration: Partial<TableConfiguration> = {},
  destinationSchema = 'copy',
): PipelineObject {
  return {
    kind: 'schema',
    sourceCatalog: undefined,
    sourceSchema: 'app',
    destinationCatalog: 'main',
    destinationSchema,
    configuration: { scdType: 'SCD_TYPE_1', ...configuration },
  }
}

function oneTable(sourceTable: string, destinationTable: string): PipelineObject {
  return { ...wholeSchema(), kind: 'table', sourceTable, destinationTable }
}

/** In short; every finding is an error with something to do about it. */
function found(
  tables: readonly SourceTable[],
  objects: readonly PipelineObject[],
  isFirstRun = true,
): string[] {
  return unloadableTables(tables, [{ objects }], { isFirstRun }).map((finding) => {
    expect(finding.severity).toBe('error')
    expect(finding.remedy).toBeTruthy()
    return `${finding.code} ${finding.table ?? finding.tables?.join(' and ')}`
  })
}

describe('unloadableTables()', () => {
  test('has nothing to say of tables that can be loaded', () => {
    expect(found([table('orders', ['__START_AT', '__op', 'op'])], [wholeSchema()])).toEqual([])
  })

  test.each(['_op', '_SEQ', '_ord', '_commit_ts', '_absent', '_unfit'])(
    'a column %s is one that staged changes use',
    (column) => {
      const tables = [table('orders', [column]), table('people')]
      expect(found(tables, [wholeSchema()])).toEqual(['GATEWAY_COLUMN_CLASH app.orders'])
    },
  )

  test('a column that the kind of the destination needs, unless it is left out', () => {
    const tables = [table('orders', ['__start_at'])]
    const kept = { scdType: 'SCD_TYPE_2' } as const
    expect(found(tables, [wholeSchema(kept)])).toEqual(['DESTINATION_COLUMN_CLASH app.orders'])
    expect(found(tables, [wholeSchema({ ...kept, excludeColumns: ['__start_at'] })])).toEqual([])
    expect(
      found([table('log', ['__sequence'])], [wholeSchema({ scdType: 'APPEND_ONLY' })]),
    ).toEqual(['DESTINATION_COLUMN_CLASH app.log'])
  })

  test.each(['a.b', 'order details', 'say "x"', "it's"])(
    'the name %j no destination can have, unless it gets another one',
    (name) => {
      const tables = [table(name)]
      expect(found(tables, [wholeSchema()])).toEqual([`CONFIG_INVALID_NAME app.${name}`])
      expect(found(tables, [wholeSchema(), oneTable(name, 'plain')])).toEqual([])
    },
  )

  test('names that differ in case only are one reason for both tables', () => {
    const tables = [table('Mixed'), table('mixed'), table('other')]
    expect(found(tables, [wholeSchema()])).toEqual([
      'PIPELINE_NAME_COLLISION app.Mixed and app.mixed',
    ])
    expect(found(tables, [wholeSchema(), oneTable('Mixed', 'mixed_2')])).toEqual([])
  })

  test('tells every reason of a table at once, and the same of two places once', () => {
    const tables = [table('a.b', ['_op']), table('c', ['__END_AT'])]
    const kept = { scdType: 'SCD_TYPE_2' } as const
    expect(found(tables, [wholeSchema(kept), wholeSchema(kept, 'copy2')])).toEqual([
      'GATEWAY_COLUMN_CLASH app.a.b',
      'CONFIG_INVALID_NAME app.a.b',
      'DESTINATION_COLUMN_CLASH app.c',
    ])
  })

  test('a list may name a column that was there once, but not before the first run', () => {
    const objects = [wholeSchema({ excludeColumns: ['was'] })]
    expect(found([table('t')], objects)).toEqual(['DESTINATION_COLUMN_UNKNOWN app.t'])
    expect(found([table('t')], objects, false)).toEqual([])
    const both = [wholeSchema({ excludeColumns: ['was', 'id'] })]
    expect(found([table('t')], both, false)).toEqual(['DESTINATION_COLUMN_UNKNOWN app.t'])
  })
})
