/** What check() says of partitions and of tables that inherit. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { copyOf, partitionScene, type PartitionScene } from './testing/partition-fixture.ts'

let server: EmbeddedPostgres

beforeAll(async () => {
  server = await startEmbeddedPostgres()
})

afterAll(async () => await server.stop())

describe('check()', () => {
  const problemsOf = async (
    { source, name }: PartitionScene,
    ...more: string[]
  ): Promise<unknown[]> => {
    const tables = (await source.discoverTables(['public'])).filter(
      (table) => table.name.table === name || more.includes(table.name.table),
    )
    const findings = await source.check(tables)
    return findings
      .filter(({ table, severity }) => table !== undefined && severity !== 'ok')
      .map(({ code, table, remedy }) => [code, table, remedy])
  }

  test('names the partition whose rows cannot be told apart, and its statement mends it', async () => {
    const scene = await partitionScene(server, {}, 'alter table $_2 replica identity nothing')
    const [problem, ...others] = (await problemsOf(scene)) as string[][]
    expect(problem).toEqual([
      'SOURCE_REPLICA_IDENTITY',
      `public.${scene.name}`,
      `ALTER TABLE "public"."${scene.name}_2" REPLICA IDENTITY DEFAULT;`,
    ])
    expect(others).toEqual([])
    await expect(copyOf(scene)).rejects.toMatchObject({ code: 'SOURCE_REPLICA_IDENTITY' })
    await scene.sql(problem?.[2] ?? '')
    expect(await problemsOf(scene)).toEqual([])
    await scene.end()
  })

  test('names a foreign partition', async () => {
    const scene = await partitionScene(server)
    await scene.sql(`create extension postgres_fdw; create server elsewhere foreign data wrapper postgres_fdw;
      create table $_b (id int, t text) partition by range (id);
      create foreign table $_far partition of $_b for values from (200) to (300) server elsewhere`)
    expect(await problemsOf(scene, `${scene.name}_b`)).toEqual(
      expect.arrayContaining([
        [
          'SOURCE_TABLE_UNSUPPORTED',
          `public.${scene.name}_b`,
          expect.stringContaining(`${scene.name}_far`),
        ],
      ]),
    )
    await scene.end()
  })

  test('a partition beside its root would be captured twice; a child by INHERITS is a table of its own', async () => {
    const scene = await partitionScene(
      server,
      {},
      'create table $_p (id int primary key); create table $_c (primary key (id)) inherits ($_p)',
    )
    expect(await problemsOf(scene, `${scene.name}_1`)).toMatchObject([
      [
        'SOURCE_PARTITION_TWICE',
        `public.${scene.name}_1`,
        expect.stringContaining(`public.${scene.name}`),
      ],
    ])
    expect(await problemsOf(scene, `${scene.name}_p`, `${scene.name}_c`)).toMatchObject([
      ['SOURCE_TABLE_INHERITED', `public.${scene.name}_p`, expect.anything()],
    ])
    await scene.end()
  })
})
