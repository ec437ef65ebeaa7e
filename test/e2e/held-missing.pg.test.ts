/** A row in quarantine that is corrected alone, its large value left as it was (unchanged TOAST). */
import { expect, test } from 'vitest'
import { createScene } from '../support/bad-input.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'

const objects = [
  'table: {source_schema: app, source_table: held, destination_catalog: main, destination_schema: copy}',
]

test('trap: verify names the row that was corrected and is held back, and its command brings it', async () => {
  const server = await startEmbeddedPostgres()
  const scene = await createScene(server, 'held')
  try {
    await scene.sqlAsRole(`CREATE TABLE app.held (id int PRIMARY KEY, d date, big text);
      ALTER TABLE app.held ALTER big SET STORAGE EXTERNAL;
      INSERT INTO app.held VALUES (1, '2020-01-01', 'a'), (41, 'infinity', repeat('y', 5000))`)
    scene.writeFile({ objects, settings: 'sluice.unfitValues: quarantine' })
    expect((await scene.runOnce()).exitCode).toBe(0)
    expect((await scene.call('verify')).exitCode).toBe(0)
    await scene.sqlAsRole(`UPDATE app.held SET d = '2021-01-01' WHERE id = 41`)
    expect((await scene.runOnce()).exitCode).toBe(0)
    const verified = await scene.call('verify')
    expect(verified.exitCode).toBe(1)
    expect(verified.text).toContain(
      'missing in destination, held back in main.copy.held__quarantine',
    )
    expect(verified.text).toMatch(/"key":"id=41"/)
    expect(verified.text).toContain('refresh main.copy.held --full')
    const mended = await scene.call('refresh', 'main.copy.held', '--full')
    expect(mended.exitCode, mended.text).toBe(0)
    expect((await scene.call('verify')).exitCode).toBe(0)
    await scene.expectEqual('held')
  } finally {
    scene.dispose()
    await server.stop()
  }
})
