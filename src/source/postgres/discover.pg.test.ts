/** What the catalog tells of columns that were added to tables with rows. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { silentLog } from '../../observe/log.ts'
import { type ControlConnection, openControl } from './connect.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { type CatalogColumn, discoverSchemas } from './discover.ts'
import { connectionOptions } from './testing/postgres-fixture.ts'

let server: EmbeddedPostgres
let control: ControlConnection

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  control = await openControl(parsePostgresOptions(connectionOptions(server)))
})

afterAll(async () => {
  await control.close()
  await server.stop()
})

/** What older rows of table `p` have in column `c`. */
async function olderRows(): Promise<CatalogColumn['missing']> {
  const tables = await discoverSchemas(control, ['public'], {
    log: silentLog,
    publicationName: 'none',
  })
  const table = tables.find(({ table: { name } }) => name.table === 'p')
  return table?.columns.find(({ name }) => name === 'c')?.missing
}

const detach = 'ALTER TABLE p2 DETACH PARTITION p21'
const attach = 'ALTER TABLE p2 ATTACH PARTITION p21 DEFAULT'
const add = 'ALTER TABLE p ADD c int DEFAULT 5'

test.each([
  ['added with all its partitions', add, { text: '5' }],
  ['without a default', 'ALTER TABLE p ADD c int', { text: null }],
  ['computed for each row', 'ALTER TABLE p ADD c int DEFAULT random()', { text: null }],
  [
    'attached with the same value',
    `${detach}; ${add}; ALTER TABLE p21 ADD c int DEFAULT 5; ${attach}`,
    { text: '5' },
  ],
  [
    'attached with another value',
    `${detach}; ${add}; ALTER TABLE p21 ADD c int DEFAULT 6; ${attach}`,
    'unreadable',
  ],
  ['attached with none', `${detach}; ${add}; ALTER TABLE p21 ADD c int; ${attach}`, 'unreadable'],
  [
    'attached with a value that the others have not',
    `${detach}; ALTER TABLE p ADD c int; ALTER TABLE p21 ADD c int DEFAULT 5; ${attach}`,
    'unreadable',
  ],
  ['one partition written anew', `${add}; VACUUM FULL p1`, 'unreadable'],
  ['a partition made since', `${add}; CREATE TABLE p3 PARTITION OF p DEFAULT`, 'unreadable'],
])(
  'trap: what older rows of a partitioned table have in a column: %s',
  async (_what, script, expected) => {
    await server.sql(`DROP TABLE IF EXISTS p;
      CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
      CREATE TABLE p21 PARTITION OF p2 DEFAULT; INSERT INTO p VALUES (1), (11)`)
    for (const statement of script.split('; ')) await server.sql(statement)
    expect(await olderRows()).toEqual(expected)
  },
)
