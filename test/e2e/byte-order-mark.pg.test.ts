/** Keys that begin with U+FEFF, which decoders of text like to drop: changes find their rows. */
import { expect, test } from 'vitest'
import { createScene } from '../support/bad-input.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'

test('trap: changes of rows whose keys begin with a byte order mark', async () => {
  const server = await startEmbeddedPostgres()
  const scene = await createScene(server, 'marks')
  try {
    await scene.sqlAsRole(`CREATE TABLE app.marks (k text PRIMARY KEY, v int);
      INSERT INTO app.marks VALUES (U&'\\FEFFa', 1), (U&'\\FEFFb', 2), (U&'\\FEFF', 3)`)
    expect((await scene.runOnce()).exitCode).toBe(0)
    await scene.sqlAsRole(
      `UPDATE app.marks SET v = 5 WHERE v = 1; DELETE FROM app.marks WHERE v = 2`,
    )
    expect((await scene.runOnce()).exitCode).toBe(0)
    await scene.expectEqual('marks')
  } finally {
    scene.dispose()
    await server.stop()
  }
})
