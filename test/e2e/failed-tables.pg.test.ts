/** A table that its gateway cannot follow is one failed table, and everybody names the same cause. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres
const scenes: Scene[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
})

afterAll(async () => {
  for (const scene of scenes) scene.dispose()
  await server.stop()
})

async function sceneOf(name: string): Promise<Scene> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  return scene
}

/** Code of each table that `verify` could not compare. */
function unverified({ lines }: Called): readonly string[] {
  return lines.flatMap((line) => {
    const problem = line['problem'] as { code: string } | undefined
    return line['event'] === 'verified' && problem
      ? [`${String(line['destination'])} ${problem.code}`]
      : []
  })
}

test.concurrent('a followed table that loses its grant is counted once and named alike', async () => {
  const scene = await sceneOf('once')
  expect((await scene.runOnce()).exitCode).toBe(0)
  await scene.sql(`REVOKE SELECT ON app.people FROM ${scene.role}`)
  const code = 'SOURCE_PERMISSION_DENIED'
  for (let run = 0; run < 2; run++) {
    const called = await scene.runOnce()
    expect(called.exitCode).toBe(1)
    expect(
      called.lines.find((line) => line['event'] === 'finished')?.['failed_tables'],
    ).toMatchObject([{ table: 'app.people', problem: { code } }])
    const verified = await scene.call('verify')
    expect(verified.exitCode).toBe(1)
    expect(unverified(verified)).toEqual([`main.copy.people ${code}`])
    const status = await scene.call('status')
    expect(status.text).toContain(code)
    expect(status.text).not.toContain('PIPELINE_TABLE_GAP')
  }
  await scene.sql(`GRANT SELECT ON app.people TO ${scene.role}`)
  expect((await scene.runOnce()).exitCode).toBe(0)
  await scene.expectEqual()
})

test.concurrent('a table whose copy needs a person is named by verify too, loaded before or never', async () => {
  const scene = await sceneOf('copies')
  await server.sql(`DROP DATABASE ${scene.database}`)
  await server.sql(
    `CREATE DATABASE ${scene.database} OWNER ${scene.role} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0`,
  )
  await scene.sqlAsRole(`CREATE SCHEMA app; CREATE TABLE app.good (id int PRIMARY KEY);
    CREATE TABLE app.never (id int PRIMARY KEY, t text); INSERT INTO app.never VALUES (1, E'\\xff');
    CREATE TABLE app.later (id int PRIMARY KEY, t text); INSERT INTO app.later VALUES (1, 'x')`)
  const code = 'SOURCE_ENCODING'
  const first = await scene.runOnce()
  expect(first.failed.get('app.never'), first.text).toMatchObject({ code })
  expect(unverified(await scene.call('verify'))).toEqual([`main.copy.never ${code}`])

  // Rows that are written anew are in no log.
  await scene.sqlAsRole(`ALTER TABLE app.later ALTER t TYPE varchar(9) USING E'\\xff'`)
  const second = await scene.runOnce()
  expect(second.exitCode, second.text).toBe(1)
  expect([...second.failed.keys()].toSorted(), second.text).toEqual(['app.later', 'app.never'])
  const verified = await scene.call('verify')
  expect(verified.exitCode).toBe(1)
  expect(unverified(verified).toSorted()).toEqual([
    `main.copy.later ${code}`,
    `main.copy.never ${code}`,
  ])

  await scene.sqlAsRole(`UPDATE app.never SET t = 'x'; UPDATE app.later SET t = 'y'`)
  expect((await scene.runOnce()).exitCode).toBe(0)
  await scene.expectEqual()
})
