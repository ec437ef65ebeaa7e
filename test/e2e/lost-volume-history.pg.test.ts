/** A staging volume that is lost, with histories in the lake that are nowhere else; and with kills. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'
import { serverForTests } from '../support/server-for-tests.ts'

const server = serverForTests()
const scenes: Scene[] = []

afterAll(() => {
  for (const scene of scenes) scene.dispose()
})

type ScdType = 'SCD_TYPE_1' | 'SCD_TYPE_2' | 'APPEND_ONLY'

async function expectDone(called: Promise<Called>): Promise<void> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
}

/** Changes were applied since the load; then the volume is gone and the source goes on. */
async function lostVolume(name: string, scdType: ScdType): Promise<Scene> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  const place = 'source_schema: app, destination_catalog: main, destination_schema: copy'
  scene.writeFile({
    objects: [`schema: {${place}, table_configuration: {scd_type: ${scdType}}}`],
  })
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(`UPDATE app.people SET name = 'once' WHERE id < 3;
    DELETE FROM app.people WHERE id = 9`)
  await expectDone(scene.runOnce())
  await rm(join(scene.dataFolder, 'volumes'), { recursive: true })
  await scene.sqlAsRole(`UPDATE app.people SET name = 'unseen' WHERE id = 1;
    DELETE FROM app.people WHERE id = 4; INSERT INTO app.people VALUES (99, 'new')`)
  return scene
}

async function rowsOf(scene: Scene, sql: string): Promise<readonly unknown[][]> {
  const { lines, exitCode, text } = await scene.call('query', sql)
  expect(exitCode, text).toBe(0)
  return lines.map((line) => Object.values(line))
}

/** Of the keys that were changed: how many versions there were, in their order. */
async function expectHistory(scene: Scene): Promise<void> {
  const versions = await rowsOf(
    scene,
    `SELECT id, "__END_AT" IS NULL AS open,
       count(*) OVER (PARTITION BY id) AS versions,
       coalesce("__START_AT" = lag("__END_AT") OVER (PARTITION BY id ORDER BY "__START_AT"), true) AS follows,
       CASE WHEN name LIKE 'row-%' THEN 'first' ELSE name END AS name
     FROM main.copy.people WHERE id IN (1, 2, 4, 5, 9, 99) ORDER BY id, "__START_AT"`,
  )
  expect(versions).toEqual([
    [1, false, 3, true, 'first'],
    [1, false, 3, true, 'once'],
    [1, true, 3, true, 'unseen'],
    [2, false, 2, true, 'first'],
    [2, true, 2, true, 'once'],
    [4, false, 1, true, 'first'],
    [5, true, 1, true, 'first'],
    [9, false, 1, true, 'first'],
    [99, true, 1, true, 'new'],
  ])
}

async function expectGoesOn(scene: Scene): Promise<void> {
  await scene.expectEqual()
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'followed again' WHERE id < 20`)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
}

test.concurrent('SCD type 2: the history goes on over a volume that is lost', async () => {
  const scene = await lostVolume('history', 'SCD_TYPE_2')
  await expectDone(scene.call('refresh', '--all', '--full'))
  await expectHistory(scene)
  await expectGoesOn(scene)
  await expectHistory(scene)
})

test.concurrent('append only: what was appended before a volume is lost stays', async () => {
  const scene = await lostVolume('appended', 'APPEND_ONLY')
  await expectDone(scene.call('refresh', '--all', '--full'))
  const rows = await rowsOf(
    scene,
    `SELECT id, "__CHANGE_TYPE", name FROM main.copy.people
     WHERE id IN (1, 4, 9, 99) AND name NOT LIKE 'row-%' ORDER BY id, "__SEQUENCE", "__ORDINAL"`,
  )
  expect(rows).toEqual([
    [1, 'update', 'once'],
    [1, 'update', 'unseen'],
    [99, 'insert', 'new'],
  ])
  await expectGoesOn(scene)
})

const steps = [
  'staging.salvage-claimed',
  'staging.epoch-claimed',
  'source.slot-created',
  'staging.manifest-published:2',
  'destination.after-commit',
]

for (const step of steps) {
  test.concurrent(`killed at ${step} while the lost volume is repaired: the same command ends it`, async () => {
    const scene = await lostVolume(step.replaceAll(/[^a-z]+/g, '_'), 'SCD_TYPE_2')
    const cut = await scene.start(['refresh', '--all', '--full'], {
      env: { SLUICE_FAILPOINT: step },
    }).finished
    expect(cut.signal).toBe('SIGKILL')
    // Whoever does not know of it runs as ever: that ends well, or names the command.
    const run = await scene.runOnce()
    if (run.exitCode === 0) await scene.expectEqual()
    else expect(run.text).toContain('sluice refresh --all --full')
    await expectDone(scene.call('refresh', '--all', '--full'))
    await scene.expectEqual()
  })
}
