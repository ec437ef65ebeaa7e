/** Commands that are killed between two things they write: whoever comes next ends what they began. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'
import { serverForTests } from '../support/server-for-tests.ts'

const server = serverForTests()
const scenes: Scene[] = []

afterAll(() => {
  for (const scene of scenes) scene.dispose()
})

async function loadedScene(name: string): Promise<Scene> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  await expectDone(scene.runOnce())
  return scene
}

async function expectDone(called: Promise<Called>): Promise<void> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
}

async function killedAt(scene: Scene, step: string, ...args: readonly string[]): Promise<void> {
  const cut = await scene.start(args, { env: { SLUICE_FAILPOINT: step } }).finished
  expect(cut.signal, cut.stderr).toBe('SIGKILL')
}

const made = `select slot_name::text as name from pg_replication_slots where database = current_database()
  union all select pubname from pg_publication`
const change = `UPDATE app.people SET name = 'changed' WHERE id < 9; DELETE FROM app.orders WHERE id < 5`

const removalSteps = [
  'gateway.removed-at-source',
  'staging.epoch-claimed',
  'staging.manifest-published',
  'gateway.removal-recorded',
]

for (const step of removalSteps) {
  test.concurrent(`remove is killed at ${step}: the same command ends it`, async () => {
    const scene = await loadedScene(`again_${step.replaceAll(/[^a-z]/g, '_')}`)
    await killedAt(scene, step, 'remove', 'gateway', '--yes')
    await expectDone(scene.call('remove', 'gateway', '--yes'))
    expect(await scene.sql(made)).toEqual([])
    expect((await scene.call('status')).text).not.toContain('"gateway"')
    await scene.sqlAsRole(change)
    await expectDone(scene.runOnce())
    await scene.expectEqual()
  })

  test.concurrent(`remove is killed at ${step}: a run copies anew, or says how`, async () => {
    const scene = await loadedScene(`run_${step.replaceAll(/[^a-z]/g, '_')}`)
    await killedAt(scene, step, 'remove', 'gateway', '--yes')
    await scene.sqlAsRole(change)
    const run = await scene.runOnce()
    if (run.exitCode !== 0) {
      expect(run.error).toMatchObject({ code: 'SOURCE_LOG_LOST' })
      await expectDone(scene.follow(run.error?.remedy ?? ''))
    }
    await scene.expectEqual()
  })
}

for (const step of ['destination.after-commit', 'destination.before-commit:2']) {
  test.concurrent(`the pipeline that takes tables over is killed at ${step}: the next run goes on`, async () => {
    const scene = await loadedScene(`taken_${step.replaceAll(/[^a-z]/g, '_')}`)
    const text = readFileSync(scene.file, 'utf8')
    writeFileSync(scene.file, text.replace('    ingest:', '    other:'))
    await expectDone(scene.call('remove', 'ingest', '--yes'))
    await scene.sqlAsRole(change)
    await killedAt(scene, step, 'run', scene.file, '--once')
    // Nobody has it: the run that was killed did not put on record whose it is.
    await expectDone(scene.runOnce())
    await scene.expectEqual()
  })
}

test.concurrent('a gateway is killed when it has begun a copy that was asked for: it is made once', async () => {
  const scene = await loadedScene('asked')
  const running = scene.start(['run', scene.file], {
    env: { SLUICE_FAILPOINT: 'gateway.snapshot-started' },
  })
  await running.said('"tables_loaded":2')
  const asked = await scene.call('refresh', 'main.copy.orders', '--full')
  expect(asked.exitCode, asked.text).toBe(1)
  expect((await running.finished).signal).toBe('SIGKILL')
  await scene.sqlAsRole(change)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
  const copies = scene.files(/snapshot.\d+.*\.parquet$/)
  await expectDone(scene.runOnce())
  expect(scene.files(/snapshot.\d+.*\.parquet$/)).toEqual(copies)
})
