/** Tables without a column: nothing tells their rows, and no replica identity mends it. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { sourceOf } from './testing/postgres-fixture.ts'

const server = serverForTests()

test.each(['full', 'default', 'nothing'])(
  'with replica identity %s the remedy is a key, and enough',
  async (identity) => {
    await server.sql(`create schema s_${identity}; create table s_${identity}.t ();
      alter table s_${identity}.t replica identity ${identity}`)
    const source = sourceOf(server, { name: 'bare' })
    const check = async () =>
      (await source.check(await source.discoverTables([`s_${identity}`]))).filter(
        ({ table, severity }) => table !== undefined && severity === 'error',
      )
    const [finding, ...more] = await check()
    expect(more).toEqual([])
    expect(finding?.remedy).toContain('ADD COLUMN "id" bigint')
    // That it has, or it would be refused all the same.
    expect(finding?.remedy).not.toContain('FULL')
    await server.sql(finding?.remedy ?? '')
    expect(await check()).toEqual([])
    await source.close()
  },
)
