/** What a run leaves behind at a source that is idle: nothing to be read, and no log kept for nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createScene, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres
let scene: Scene

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  scene = await createScene(server, 'lag')
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

async function shownLag(): Promise<unknown> {
  const { lines } = await scene.call('status')
  return lines.find((line) => line['event'] === 'gateway')?.['lagBytes']
}

test('trap: runs from time to time let the source go on, and the last one shows no lag', async () => {
  for (const from of [1_000, 10_000, 20_000]) {
    await scene.sqlAsRole(`INSERT INTO app.people
      SELECT n, repeat('x', 200) FROM generate_series(${from}, ${from} + 5000) n`)
    const [{ lsn } = {}] = await scene.sql('SELECT pg_current_wal_lsn()::text AS lsn')
    const run = await scene.runOnce()
    expect(run.exitCode, run.text).toBe(0)
    const progress = run.lines.findLast((line) => line['event'] === 'progress')
    expect(String(progress?.['lag_bytes'])).toBe('0')
    expect(String(await shownLag())).toBe('0')
    const [slot] = await scene.sql(`SELECT confirmed_flush_lsn >= '${String(lsn)}' AS is_told
      FROM pg_replication_slots WHERE database = current_database()`)
    expect(slot).toEqual({ is_told: true })
  }
  await scene.expectEqual()
})
