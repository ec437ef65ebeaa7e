/** What check() says of partitions and of tables that inherit. */
import { describe, expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Finding } from '../finding.ts'
import { sourceOf } from './testing/postgres-fixture.ts'
import { copyOf, partitionScene, type PartitionScene } from './testing/partition-fixture.ts'

const server = serverForTests()

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

  test('a partitioned table without a key: its statement mends it, whatever it is partitioned by', async () => {
    const scene = await partitionScene(server)
    const keyless = `${scene.name}_k`
    await scene.sql(`create table $_k (id int, t text) partition by range (id);
      create table $_k1 partition of $_k for values from (0) to (100) partition by list (t);
      create table "$_k 1a" partition of $_k1 default;
      create table $_k2 partition of $_k default; insert into $_k values (1, 'a'), (200, 'b')`)
    const [problem, ...others] = (await problemsOf(scene, keyless)) as string[][]
    expect(others).toEqual([])
    expect(problem?.slice(0, 2)).toEqual(['SOURCE_TABLE_WITHOUT_KEY', `public.${keyless}`])
    const remedy = problem?.[2] ?? ''
    expect(remedy).not.toContain('IDENTITY PRIMARY KEY')
    for (const name of [keyless, `${keyless} 1a`, `${keyless}2`]) {
      expect(remedy).toContain(`ALTER TABLE "public"."${name}" REPLICA IDENTITY FULL;`)
    }
    await scene.sql(remedy)
    expect(await problemsOf(scene, keyless)).toEqual([])
    await scene.end()
  })

  test('one statement grants the schemas, the tables and their partitions', async () => {
    const scene = await partitionScene(server)
    await scene.sql(`create role $_reader login replication password 'r';
      create schema $_s; create schema $_far;
      create table $_s.plain (id int primary key);
      create table $_s.whole (id int primary key) partition by range (id);
      create table $_s.part_1 partition of $_s.whole for values from (0) to (100);
      create table $_far.part_2 partition of $_s.whole default;
      create publication $_reads for table $_s.plain, $_s.whole`)
    const { name } = scene
    const connection = { user: `${name}_reader`, password: 'r' }
    const source = sourceOf(server, { name: `${name}_reads`, connection })
    const tables = (await source.discoverTables([`${name}_s`])).filter(
      ({ partOf }) => partOf === undefined,
    )
    const errors = async (): Promise<readonly Finding[]> =>
      (await source.check(tables)).filter(({ severity }) => severity === 'error')
    const [denied, ...more] = await errors()
    expect(more).toEqual([])
    expect(denied).toMatchObject({
      code: 'SOURCE_PERMISSION_DENIED',
      tables: [`${name}_s.plain`, `${name}_s.whole`],
    })
    expect(denied?.remedy?.match(/GRANT USAGE/g)).toHaveLength(1)
    await scene.sql(denied?.remedy ?? '')
    expect(await errors()).toEqual([])
    // Of a table that may be read, its partitions may be missing.
    await scene.sql('revoke select on $_far.part_2 from $_reader')
    const [part, ...others] = await errors()
    expect(others).toEqual([])
    expect(part).toMatchObject({ code: 'SOURCE_PERMISSION_DENIED', table: `${name}_s.whole` })
    expect(part?.message).toContain(`${name}_far.part_2`)
    await scene.sql(part?.remedy ?? '')
    expect(await errors()).toEqual([])
    await source.close()
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
