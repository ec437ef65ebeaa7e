import { expect, test } from 'vitest'
import { silentLog } from '../../observe/log.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import { CatalogWatch, DescribedOrder } from './ddl-watch.ts'
import type { CatalogTable } from './discover.ts'
import type { Lsn } from './lsn.ts'
import { ToldTruncates } from './told-truncates.ts'

/** A table of so many columns; each change of them is another definition. */
function tableOf(columns: number): SourceTable {
  const type = { kind: 'int32' } as const
  return {
    id: '1' as TableId,
    name: { catalog: 'db', schema: 'public', table: 't' },
    schema: {
      columns: Array.from({ length: columns }, (_, place) => {
        const id = String(place + 1)
        return { name: `c${id}`, type, sourceType: 'integer', nullable: true, id }
      }),
      key: ['c1'],
      storage: { file: '1', definition: `of ${columns}`, lastColumn: columns },
    },
    estimatedRows: undefined,
    estimatedBytes: undefined,
  }
}

/** What the sink is told of a look that saw `looked`, when the stream has passed it. */
function toldOf(looked: SourceTable, followed: SourceTable, isLater: boolean): SourceTable[] {
  const order = new DescribedOrder()
  const told: SourceTable[] = []
  const number = order.next()
  if (isLater) order.note(followed.schema)
  const catalog = { table: looked } as CatalogTable
  const watch = new CatalogWatch(
    {
      control: { query: () => Promise.resolve([]) },
      log: silentLog,
      publicationName: 'p',
      order,
      endOfLog: () => Promise.resolve(0n as Lsn),
      truncates: new ToldTruncates(),
      tables: [looked.id],
      sink: { schemaChanged: (table) => told.push(table) },
      followed: () => followed,
      compare: () => ({ kind: 'changed', table: looked, change: { kind: 'new', reason: 'r' } }),
    },
    { number, isFirst: false, tables: [catalog], lsn: 10n as Lsn },
  )
  watch.passed(9n as Lsn)
  expect(told).toEqual([])
  watch.passed(10n as Lsn)
  return told
}

test('what a look at the catalog saw holds once the stream has passed it', () => {
  expect(toldOf(tableOf(3), tableOf(2), false)).toEqual([tableOf(3)])
})

test('trap: a look from before the stream told of a column does not take the column away again', () => {
  expect(toldOf(tableOf(2), tableOf(3), true)).toEqual([])
})
