/** Bad input: the log of the source is gone, taken or another one. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'

let server: EmbeddedPostgres
const scenes: Scene[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres()
})

afterAll(async () => {
  for (const scene of scenes) scene.dispose()
  await server.stop()
})

/** Copied and followed once; its slot is `slot`. */
async function runningScene(name: string): Promise<{ scene: Scene; slot: string }> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  await expectDone(scene.runOnce())
  const [row] = await scene.sql(
    'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
  )
  return { scene, slot: String(row?.['slot_name']) }
}

async function expectDone(called: Promise<Called>): Promise<void> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
}

/** The remedy is one command, and after it everything is as it was meant to be. */
async function expectRepairedBy(scene: Scene, remedy: string): Promise<void> {
  await expectDone(scene.follow(remedy))
  await scene.expectEqual()
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'followed again' WHERE id < 20`)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
}

/** Refused, with the data that is there left as it is. */
async function expectLost(scene: Scene, slot: string): Promise<string> {
  const before = scene.files(/lake\//)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error).toMatchObject({ code: 'SOURCE_LOG_LOST' })
  expect(run.error?.message).toContain(slot)
  expect(scene.files(/lake\//)).toEqual(before)
  const check = await scene.call('check', scene.file)
  const found = check.lines.find((line) => line['subject'] === 'replication slot')
  const status = await scene.call('status')
  expect(status.text).toContain('refresh --all --full --data')
  expect([found?.['severity'], check.exitCode]).toEqual(
    found?.['code'] === 'SOURCE_LOG_LOST' ? ['error', 1] : ['ok', 0],
  )
  return run.error?.remedy ?? ''
}

const changeOrders = `DELETE FROM app.orders WHERE id < 5; UPDATE app.people SET name = 'changed' WHERE id < 3`

test.concurrent('slot dropped between runs: refused, and one command repairs it', async () => {
  const { scene, slot } = await runningScene('slotdrop')
  await scene.sql(`SELECT pg_drop_replication_slot('${slot}')`)
  await scene.sqlAsRole(changeOrders)
  const remedy = await expectLost(scene, slot)
  expect(remedy).toContain(`sluice refresh --all --full --data '${scene.dataFolder}'`)
  await expectRepairedBy(scene, remedy)
})

test.concurrent('slot made anew by somebody else under the same name', async () => {
  const { scene, slot } = await runningScene('slotanew')
  await scene.sql(`SELECT pg_drop_replication_slot('${slot}')`)
  await scene.sqlAsRole(changeOrders)
  await scene.sql(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`)
  await expectRepairedBy(scene, await expectLost(scene, slot))
})

test.concurrent('slot of another kind under the same name: its statement, then the command', async () => {
  const { scene, slot } = await runningScene('slotkind')
  await scene.sql(`SELECT pg_drop_replication_slot('${slot}')`)
  await scene.sql(`SELECT pg_create_physical_replication_slot('${slot}')`)
  await scene.sqlAsRole(changeOrders)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error).toMatchObject({ code: 'SOURCE_SLOT_TAKEN' })
  expect(run.error?.message).toContain(slot)
  const [statement = '', command = ''] = (run.error?.remedy ?? '').split(' -- then run: ')
  await scene.sql(statement)
  await expectRepairedBy(scene, command)
})

/** Reads from the slot as another program would; resolves once it does. */
async function startReader(scene: Scene, slot: string): Promise<pg.Client> {
  const { host, port, user, password } = server
  const place = { host, port, user, password, database: scene.database }
  const application = { application_name: 'somebody else', replication: 'database' }
  const reader = new pg.Client({ ...place, ...application })
  reader.on('error', () => undefined)
  await reader.connect()
  const [row] = await scene.sql('SELECT pubname FROM pg_publication')
  const options = `proto_version '1', publication_names '${String(row?.['pubname'])}'`
  reader.query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0 (${options})`).catch(() => undefined)
  for (;;) {
    const [state] = await scene.sql(
      `SELECT active FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    )
    if (state?.['active'] === true) return reader
  }
}

test.concurrent('slot read by another process: it is named, and nothing is lost', async () => {
  const { scene, slot } = await runningScene('slotbusy')
  await scene.sqlAsRole(changeOrders)
  await startReader(scene, slot)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error).toMatchObject({ code: 'SOURCE_SLOT_TAKEN' })
  expect(run.error?.message).toContain(slot)
  expect(run.error?.message).toContain('somebody else')
  await scene.sql(run.error?.remedy ?? '')
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

/** Runs into what is wrong, and has it repaired by the command that is named for it. */
async function expectRepairedByRefresh(scene: Scene): Promise<void> {
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  const command = `sluice refresh --all --full --data '${scene.dataFolder}'`
  expect(run.text).toContain(command)
  await expectRepairedBy(scene, command)
}

test.concurrent('the staging volume is lost: one command repairs it, and the slot left behind is named', async () => {
  const { scene, slot } = await runningScene('volumelost')
  await scene.sqlAsRole(`UPDATE app.people SET name = 'once more' WHERE id < 3`)
  await expectDone(scene.runOnce())
  await rm(join(scene.dataFolder, 'volumes'), { recursive: true })
  await scene.sqlAsRole(changeOrders)
  await expectRepairedByRefresh(scene)
  const check = await scene.call('check', scene.file)
  const left = check.lines.find(({ code }) => code === 'SOURCE_SLOT_LEFT_BEHIND')
  expect(left).toMatchObject({ severity: 'warning' })
  const gateway = (await scene.call('status')).lines.find(({ event }) => event === 'gateway')
  const named = { code: 'SOURCE_SLOT_LEFT_BEHIND', message: expect.stringContaining(slot) }
  expect(gateway?.['leftSlots']).toMatchObject([{ ...named, remedy: left?.['remedy'] }])
  await scene.sql(String(left?.['remedy']))
  expect((await scene.call('check', scene.file)).text).not.toContain(slot)
  await expectDone(scene.runOnce())
  expect((await scene.call('status')).text).not.toContain(slot)
})

for (const rest of [0, 1]) {
  test.concurrent(`every other file of the staging volume is lost (${rest}): one command repairs it`, async () => {
    const { scene } = await runningScene(`volumehalf${rest}`)
    await scene.sqlAsRole(`UPDATE app.people SET name = 'once more' WHERE id < 3`)
    await expectDone(scene.runOnce())
    const volumes = join(scene.dataFolder, 'volumes')
    const entries = await readdir(volumes, { recursive: true, withFileTypes: true })
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
    for (const [n, file] of files.toSorted().entries()) if (n % 2 === rest) await rm(file)
    await scene.sqlAsRole(changeOrders)
    await expectRepairedByRefresh(scene)
  })
}

test('slot lost because the server kept too little log', async () => {
  const { scene, slot } = await runningScene('slotlost')
  await server.sql(`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`)
  await server.sql('SELECT pg_reload_conf()')
  for (let round = 0; round < 4; round++) {
    await server.sql('SELECT pg_switch_wal(); CHECKPOINT')
    await scene.sqlAsRole(`UPDATE app.orders SET note = 'round ${round}'`)
  }
  const [row] = await server.sql(
    `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${slot}'`,
  )
  expect(row).toEqual({ wal_status: 'lost' })
  const remedy = await expectLost(scene, slot)
  await server.sql('ALTER SYSTEM RESET max_slot_wal_keep_size')
  await server.sql('SELECT pg_reload_conf()')
  await expectRepairedBy(scene, remedy)
})

test('another server behind the connection: refused, then taken on request', async () => {
  const { scene } = await runningScene('other')
  const other = await startEmbeddedPostgres()
  try {
    const twin = await createScene(other, 'other')
    scenes.push(twin)
    await other.sql(`ALTER ROLE ${twin.role} PASSWORD '${scene.password}'`)
    await twin.sqlAsRole(`DELETE FROM app.orders WHERE id > 10`)
    scene.writeFile({ port: other.port })
    const before = scene.files(/lake\//)
    const run = await scene.runOnce()
    expect(run.exitCode, run.text).toBe(1)
    expect(run.error).toMatchObject({ code: 'SOURCE_INCARNATION_CHANGED' })
    expect(scene.files(/lake\//)).toEqual(before)
    await expectDone(scene.follow(run.error?.remedy ?? ''))
    await scene.expectEqual()
    const query = await scene.call('query', 'SELECT count(*) AS n FROM orders')
    expect(query.text).toContain('10')
  } finally {
    await other.stop()
  }
})
