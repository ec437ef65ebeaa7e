/**
 * Random changes of tables and rows: at every stop the destination equals the source, rows and
 * columns. Once as every database is, once with the optional event triggers.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DdlWorld } from '../support/ddl-world.ts'
import { type EmbeddedPostgres, postgresVersion } from '../support/embedded-postgres.ts'
import { createRandom } from '../support/random.ts'
import { RandomDdl } from '../support/random-ddl.ts'

const given = process.env['SLUICE_DDL_SEED']
const seed = given === undefined ? Date.now() % 1_000_000 : Number(given)
const rounds = Number(process.env['SLUICE_DDL_ROUNDS'] ?? 6)

/** With three stops, some of its changes can not be told apart without the triggers. */
const knownSeed = 2

let server: EmbeddedPostgres

beforeAll(async () => {
  server = await DdlWorld.server()
})

afterAll(async () => {
  await server.stop()
})

interface Counts {
  readonly steps: number
  readonly copies: number
}

/** How many changes were followed in place, how many with a copy. */
async function play(seed: number, rounds: number, hasPartitions = true): Promise<Counts> {
  const random = createRandom(seed)
  const ddl = new RandomDdl(random, 2, { hasPartitions })
  const world = await DdlWorld.open(server)
  await world.sql(ddl.create())
  await world.sync()
  const done: string[] = []
  for (let round = 0; round < rounds; round++) {
    for (let n = random.int(1, 5); n > 0; n--) {
      const script = ddl.script()
      done.push(script)
      await world.sql(script)
    }
    await world.stage()
    if (random.chance(0.3)) continue
    const result = await world.apply()
    expect(result.failedTables).toEqual([])
    for (const name of ddl.tableNames) {
      const [found, wanted] = [await world.destination(name), await world.source(name)]
      expect({ seed, done: done.join(';\n\n'), name, ...found }).toEqual({
        seed,
        done: done.join(';\n\n'),
        name,
        ...wanted,
      })
    }
    done.length = 0
  }
  const { copies, steps } = await world.counts()
  console.log(
    `seed ${seed}: ${ddl.changes} statements, ${steps} followed in place, ${copies - ddl.tableNames.length} copies`,
  )
  expect(steps + copies).toBeGreaterThan(2)
  await world.close()
  return { steps, copies }
}

test(`SLUICE_DDL_SEED=${seed}: tables and rows change, ${rounds} stops`, async () => {
  await play(seed, rounds)
})

test('the same with event triggers; of one seed more is followed in place', async () => {
  // Before version 14 there are none.
  if (postgresVersion < 14) return
  const without = await play(knownSeed, 3, false)
  await DdlWorld.installTriggers(server)
  await play(seed, rounds)
  const described = await play(knownSeed, 3, false)
  expect(described.steps).toBeGreaterThan(without.steps)
  expect(described.copies).toBeLessThan(without.copies)
})
