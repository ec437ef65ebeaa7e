/** Changed columns in destinations that keep history: what was there before has the default, or NULL. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DdlWorld } from '../support/ddl-world.ts'
import type { EmbeddedPostgres } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres

beforeAll(async () => {
  server = await DdlWorld.server()
})

afterAll(async () => {
  await server.stop()
})

for (const scdType of ['SCD_TYPE_2', 'APPEND_ONLY'] as const) {
  test(`${scdType}: columns are added, renamed and dropped`, async () => {
    const world = await DdlWorld.open(server, { scdType })
    await world.sql(
      `CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (1, 'a1', 'b1')`,
    )
    await world.sync()
    await world.sql(
      `UPDATE t SET a = 'a2'; ALTER TABLE t ADD n int DEFAULT 7; ALTER TABLE t RENAME a TO z`,
    )
    await world.stage()
    await world.sql(
      `UPDATE t SET z = 'a3', n = 8; ALTER TABLE t DROP b; INSERT INTO t VALUES (2, 'x')`,
    )
    const result = await world.sync()
    expect(result.failedTables).toEqual([])
    const shown = await world.destination('t')
    expect(shown?.columns.slice(0, 3)).toEqual(['id', 'z', 'n'])
    expect(shown?.rows.map((row) => row.slice(0, 3))).toEqual([
      ['1', 'a1', '7'],
      ['1', 'a2', '7'],
      ['1', 'a3', '8'],
      ['2', 'x', '7'],
    ])
    await world.close()
  })
}
