/** Columns that are added with a default that no Delta type can hold: rows from before have it, too. */
import { expect, test } from 'vitest'
import { createScene } from '../support/bad-input.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'

const objects = [
  'table: {source_schema: app, source_table: late, destination_catalog: main, destination_schema: copy}',
]

function added(name: string, row: number): string {
  return `ALTER TABLE app.late ADD COLUMN at_${name} timestamptz NOT NULL DEFAULT 'infinity',
      ADD COLUMN day_${name} date DEFAULT '0044-03-15 BC', ADD COLUMN n_${name} numeric(5,2) DEFAULT 'NaN',
      ADD COLUMN paid_${name} money DEFAULT '-3.50';
    INSERT INTO app.late (id) VALUES (${row}); UPDATE app.late SET note = 'x' WHERE id = ${row - 1}`
}

test('trap: the default of an added column does not fit, and every policy has its say', async () => {
  const server = await startEmbeddedPostgres()
  const scene = await createScene(server, 'late')
  try {
    await scene.sqlAsRole(`CREATE TABLE app.late (id int PRIMARY KEY, note text);
      INSERT INTO app.late SELECT n, 'n' FROM generate_series(1, 9) n`)
    scene.writeFile({ objects })
    expect((await scene.runOnce()).exitCode).toBe(0)
    await scene.sqlAsRole(added('fail', 10))
    const stopped = await scene.runOnce()
    expect(stopped.failed.get('main.copy.late')).toMatchObject({ code: 'DESTINATION_VALUE_UNFIT' })
    for (const [place, policy] of ['null', 'clamp', 'string', 'quarantine'].entries()) {
      scene.writeFile({ objects, settings: `sluice.unfitValues: "${policy}"` })
      await scene.sqlAsRole(added(policy, 11 + place))
      const after = await scene.runOnce()
      expect(after.exitCode, after.text).toBe(0)
      await scene.expectEqual('late')
      if (policy === 'null') continue
      const { text } = await scene.call('query', 'SELECT at_fail FROM late WHERE id = 1')
      if (policy === 'clamp') expect(text).toContain('9999-12-31')
      if (policy === 'string') expect(text).toContain('infinity')
      if (policy === 'quarantine') {
        const kept = await scene.call('query', 'SELECT count(*) AS n FROM late')
        expect(kept.text).toContain('"n":0')
      }
    }
  } finally {
    scene.dispose()
    await server.stop()
  }
})
