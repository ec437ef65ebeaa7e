/** Types whose text is the name of another object: renamed, it is another text of the same value. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

test('trap: the key of a row changes its text when the object it names is renamed', async () => {
  await server.sql('create table meant (id int); create table named (what regclass primary key)')
  const source = sourceOf(server, { name: 'named' })
  const table = await tableNamed(source, 'named')
  const [finding] = (await source.check([table])).filter((one) => one.table === 'public.named')
  expect(finding).toMatchObject({ code: 'SOURCE_TABLE_UNSUPPORTED', severity: 'error' })
  await expect(source.beginSnapshot(table, { delivered: [] })).rejects.toMatchObject({
    code: 'SOURCE_TABLE_UNSUPPORTED',
  })
  await server.sql(finding?.remedy ?? '')
  const mended = await tableNamed(source, 'named')
  const after = (await source.check([mended])).filter((one) => one.table === 'public.named')
  expect(after.map(({ severity }) => severity)).toEqual(['ok'])
  await source.close()
})
