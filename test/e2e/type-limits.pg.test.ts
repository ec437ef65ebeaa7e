/**
 * Every input of the type test in one table, from the server through staging to the destination and
 * back to `verify`, copied and followed, under every policy for values that do not fit. The judge is
 * the text that the server prints of its own cells.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createScene, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { caseExtensions, caseTypes } from '../support/postgres-limit-cases.ts'
import { typeCases } from '../support/postgres-type-cases.ts'
import { expectTextsOfServer, typedTable } from '../support/typed-table.ts'

const cases = typeCases.map(({ type, values, kind = 'string' }) => ({ type, values, kind }))
const table = typedTable('limits', cases)
const places = (takes: (kind: string) => boolean): readonly number[] =>
  cases.flatMap(({ kind }, n) => (takes(kind) ? [n] : []))
const texts = places((kind) => kind === 'string')
const unfit = ['decimal', 'date', 'timestamp', 'timestamp_ntz']
/** Under the policy `string`; an amount of money is then the text of the number. */
const spelled = places((kind) => unfit.includes(kind)).filter((n) => cases[n]?.type !== 'money')

let server: EmbeddedPostgres
let scene: Scene

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  scene = await createScene(server, 'limits')
  await scene.sql(caseExtensions)
  await scene.sqlAsRole(`SET search_path = app, public; ${caseTypes}
    ${table.create}; ${table.insert(1)}`)
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

async function change(first: number): Promise<void> {
  await scene.sqlAsRole(`SET search_path = app, public; SET timezone = 'UTC'; ${table.insert(first)};
    UPDATE app.limits SET note = 'large values stay ${first}';
    UPDATE app.limits SET id = -id WHERE id > ${first + 5};
    DELETE FROM app.limits WHERE id = ${first + 1}`)
}

test('every type with its limits is equal, copied and followed, under every policy', async () => {
  const stopped = await scene.runOnce()
  expect(stopped.failed.get('main.copy.limits')).toMatchObject({ code: 'DESTINATION_VALUE_UNFIT' })
  for (const [n, policy] of ['null', 'clamp', 'string', 'quarantine'].entries()) {
    scene.writeFile({ settings: `sluice.unfitValues: "${policy}"` })
    const copied = await scene.runOnce()
    expect(copied.exitCode, copied.text).toBe(0)
    await change((n + 1) * 100)
    const followed = await scene.runOnce()
    expect(followed.exitCode, followed.text).toBe(0)
    if (policy === 'quarantine') await scene.expectEqual('limits')
    else {
      const asText = policy === 'string' ? spelled : []
      await expectTextsOfServer(scene, 'limits', [...texts, ...asText])
    }
  }
}, 300_000)
