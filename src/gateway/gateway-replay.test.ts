/**
 * Whatever happens to a gateway, replaying what it staged gives exactly the source's tables: random
 * writers, commits that are in the log before anybody sees them, processes that die at any step.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fakeTable, type Change } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld, type ProcessOptions } from '../../test/support/gateway/gateway-world.ts'

const processes = fc.array(
  fc.record({
    mode: fc.constantFrom('once' as const, 'continuous' as const),
    steps: fc.integer({ min: 1, max: 160 }),
    isKilled: fc.boolean(),
    pressureEvery: fc.constantFrom(1, 3, 50),
    bufferBytes: fc.constantFrom(300, 3_000, 1_000_000),
    commitBytes: fc.constantFrom(200, 1_000_000),
    chunks: fc.constantFrom(0, 1, 4),
  }),
  { minLength: 1, maxLength: 6 },
)

interface Mix {
  /** Of a step in which somebody writes. */
  readonly writes: number
  readonly alters: number
  readonly gaps: number
  readonly creates: number
}

function writersOf(world: GatewayWorld, mix: Mix): () => void {
  const { random, database } = world
  const most = database.log.length + random.int(10, 120)
  return () => {
    if (database.log.length > most) return
    if (random.chance(0.05)) database.showAll(() => random.chance(0.5))
    if (!random.chance(mix.writes)) return
    const changes: Change[] = []
    const table = random.pick([...database.tables.values()])
    if (random.chance(mix.alters)) {
      const names = table.schema.columns.slice(1).map((column) => column.name)
      const altered = fakeTable(table.id, [...names, `c${names.length}`])
      changes.push({ op: 'alter', table: altered })
    } else if (random.chance(mix.gaps)) {
      changes.push({ op: 'gap', table })
    } else {
      changes.push(...database.randomChanges(random, random.int(1, 8)))
    }
    database.commit(changes, !random.chance(0.3))
    const nextId = String(database.tables.size + 1)
    if (database.tables.size < 5 && random.chance(mix.creates)) database.create(fakeTable(nextId))
  }
}

function optionsOf(
  process: typeof processes extends fc.Arbitrary<readonly (infer T)[]> ? T : never,
): ProcessOptions {
  const { mode, steps, isKilled, pressureEvery, bufferBytes, commitBytes, chunks } = process
  return {
    mode,
    ...(isKilled ? { diesAt: steps } : mode === 'continuous' ? { stopsAt: steps } : {}),
    settings: { bufferBytes, commitBytes, snapshotBufferBytes: bufferBytes },
    source: { pressureEvery, chunks },
  }
}

async function play(
  seed: number,
  runs: readonly ProcessOptions[],
  mix: Mix,
): Promise<GatewayWorld> {
  const world = new GatewayWorld([fakeTable('1'), fakeTable('2'), fakeTable('3')], seed)
  world.database.commit(world.database.randomChanges(world.random, 20))
  world.writers = writersOf(world, mix)
  for (const options of runs) await world.process(options)
  world.writers = () => undefined
  const last = await world.process({ mode: 'once' })
  if (last.kind === 'rejected') throw last.error
  expect(last.result.failedTables).toEqual([])
  world.assertExact()
  expect(world.loadable()).toEqual([...world.database.tables.keys()].toSorted())
  expect(Number(world.disk.manifests.at(-1)?.position_after)).toBe(world.database.log.length)
  expect(last.source.acknowledged).toBeLessThanOrEqual(world.database.log.length)
  return world
}

async function holds(mix: Mix, numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.integer(), processes, async (seed, list) => {
      await play(seed, list.map(optionsOf), mix)
    }),
    { numRuns },
  )
}

test('trap: replay is exact under writers and kills', async () => {
  await holds({ writes: 0.3, alters: 0, gaps: 0, creates: 0 }, 25)
})

test('replay is exact when tables are altered, torn and created', async () => {
  await holds({ writes: 0.3, alters: 0.04, gaps: 0.04, creates: 0.04 }, 25)
})
