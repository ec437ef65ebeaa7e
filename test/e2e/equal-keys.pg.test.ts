/**
 * Keys that are equal and not the same (0 and -0, 1.0 and 1.00): a row whose key becomes the other
 * one is told apart by no server, yet the destination has to show what the source shows.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { KindsWorld } from '../support/kinds-world.ts'

let server: EmbeddedPostgres
beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', synchronous_commit: 'off' } })
  await server.sql(`CREATE DOMAIN real_domain AS real;
    CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
})
afterAll(async () => {
  await server.stop()
})

/** Type of the key, a value, one that is equal to it, and another one. */
const cases = [
  ['float8', '0', '-0', 'NaN'],
  ['real', '-0', '0', 'NaN'],
  ['real_domain', '0', '-0', 'Infinity'],
  ['float8[]', '{0,1}', '{-0,1}', '{NaN}'],
  ['numeric', '1.0', '1.00', 'NaN'],
  ['numeric(6,2)', '1.0', '1.00', '2'],
  ['char(4)', 'a', 'a ', 'b'],
  ['text COLLATE loose', 'a', 'A', 'b'],
  ['interval', '1 mon', '30 days', '2 mon'],
  ['timetz', '12:00+00', '12:00:00.0+00', '13:00+01'],
  ['jsonb', '1', '1.0', '"a"'],
] as const

test.each(cases)(
  'trap: a key of type %s that becomes an equal one is the other one everywhere',
  async (type, one, equal, other) => {
    const schema = `s${cases.findIndex((row) => row[0] === type)}`
    const run = async (text: string): Promise<void> => {
      await server.sql(`SET search_path = ${schema}, public; ${text}`)
    }
    await server.sql(`CREATE SCHEMA ${schema}`)
    await run(`CREATE TABLE t (k ${type} PRIMARY KEY, v text);
      INSERT INTO t VALUES ('${one}', 'a'), ('${other}', 'b')`)
    const world = await KindsWorld.open(server, schema)
    try {
      const follow = async (sql: string): Promise<void> => {
        await run(sql)
        expect(await world.follow()).toEqual({})
        await world.expectEqual('t')
      }
      await follow('')
      await follow(`UPDATE t SET k = '${equal}' WHERE k = '${one}'`)
      await follow(`UPDATE t SET v = 'c'; UPDATE t SET k = '${one}' WHERE k = '${one}'`)
      await follow(`BEGIN; UPDATE t SET k = '${equal}' WHERE k = '${one}';
        UPDATE t SET k = '${one}', v = 'd' WHERE k = '${one}';
        UPDATE t SET k = '${equal}' WHERE k = '${one}'; COMMIT`)
      await follow(`DELETE FROM t WHERE k = '${one}'; INSERT INTO t VALUES ('${one}', 'e')`)
      // A copy that is compared with what is there.
      await follow(`UPDATE t SET k = '${equal}' WHERE k = '${one}';
        ALTER TABLE t ALTER v TYPE text USING upper(v)`)
      await follow(`TRUNCATE t; INSERT INTO t VALUES ('${one}', 'f')`)
      await follow(`DELETE FROM t WHERE k = '${equal}'`)
    } finally {
      await world.close()
    }
  },
)
