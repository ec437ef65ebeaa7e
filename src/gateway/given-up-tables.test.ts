/** Tables whose copy failed for a reason that waiting alone does not mend: when they are tried again. */
import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import {
  GatewayWorld,
  type Moment,
  type ProcessEnd,
} from '../../test/support/gateway/gateway-world.ts'
import { SluiceError } from '../base/errors.ts'
import type { Finding } from '../source/finding.ts'

function written(...tables: Parameters<typeof fakeTable>[]): GatewayWorld {
  const world = new GatewayWorld(tables.map((table) => fakeTable(...table)))
  for (let n = 0; n < 3; n++) {
    world.database.commit(world.database.randomChanges(world.random, 6))
  }
  return world
}

/** Stops the run once every table is followed; fails it after very many steps. */
function stopWhenFollowed(): (moment: Moment) => void {
  let left = 5_000
  return ({ gateway, stop }) => {
    if (left-- === 0) throw new SluiceError('ABORTED', 'what the test waits for does not happen')
    const { tables } = gateway.status()
    if (tables.length > 0 && tables.every(({ state }) => state === 'streaming')) stop()
  }
}

/**
 * A copy of table 1 fails, for a reason that needs a person, until `isMended`; the findings are gone
 * after so many looks. Pauses between the tries in ms.
 */
async function pausesUntil(
  world: GatewayWorld,
  isMended: (tries: readonly number[]) => boolean,
  { findings = [], looks = 0 }: { readonly findings?: Finding[]; readonly looks?: number } = {},
): Promise<{ readonly pauses: readonly number[]; readonly end: ProcessEnd }> {
  const tries: number[] = []
  const stop = stopWhenFollowed()
  const end = await world.process({
    mode: 'continuous',
    source: { findings },
    atStep(moment) {
      if (moment.name === 'check' && findings.length > 0 && looks-- === 0) findings.pop()
      const first = moment.gateway.status().tables.find(({ tableId }) => tableId === '1')
      if (moment.name === 'before snapshot' && first?.state === 'pending') {
        tries.push(world.time.elapsedMs())
        if (!isMended(tries)) throw new SluiceError('SOURCE_ENCODING', 'not a text')
      }
      stop(moment)
    },
  })
  return { end, pauses: tries.slice(1).map((at, place) => at - (tries[place] ?? 0)) }
}

test('a table that was given up for its copy is tried again, seldom and seldomer', async () => {
  const world = written(['1'])
  const { end, pauses } = await pausesUntil(world, ({ length }) => length === 10)
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(world.loadable()).toEqual(['1'])
  world.assertExact()
  const minutes = pauses.map((ms) => Math.floor(ms / 60_000))
  expect(minutes).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60])
})

const refused: Finding = {
  severity: 'error',
  code: 'SOURCE_PERMISSION_DENIED',
  subject: 'table',
  message: 'may not read it',
  remedy: 'GRANT',
  table: 'public.t1',
}

test('a table that the check explains is copied as soon as the check finds it mended', async () => {
  const world = written(['1'])
  const findings: Finding[] = []
  const { end, pauses } = await pausesUntil(
    world,
    ({ length }) => {
      if (length === 1) findings.push(refused)
      return length > 1
    },
    { findings, looks: 40 },
  )
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  // 40 looks, one in 30 s, and none of the pauses of a copy that nobody can explain.
  expect(pauses.map((ms) => Math.floor(ms / 60_000))).toEqual([20])
})

test('a table that the check refuses is not copied because everything is to be copied anew', async () => {
  const world = written(['1'], ['2'])
  const tried: string[] = []
  const end = await world.process({
    mode: 'once',
    refresh: 'all',
    source: { findings: [refused] },
    atStep: ({ name, gateway }) => {
      const { tables } = gateway.status()
      if (name === 'before snapshot') tried.push(...tables.map(({ state }) => state))
    },
  })
  expect(end).toMatchObject({
    kind: 'resolved',
    result: { failedTables: [{ tableId: '1', problem: { message: refused.message } }] },
  })
  expect(tried).toEqual(['failed', 'pending'])
})

test('a change of its columns is a new chance at once for a table that was given up', async () => {
  const world = new GatewayWorld([fakeTable('1', ['_SEQ']), fakeTable('2')])
  const stop = stopWhenFollowed()
  let renamedAtMs = 0
  const end = await world.process({
    mode: 'continuous',
    atStep(moment) {
      const states = moment.gateway.status().tables.map(({ state }) => state)
      if (renamedAtMs === 0 && states.join() === 'failed,streaming') {
        renamedAtMs = world.time.elapsedMs()
        world.database.tables.set('1', fakeTable('1', ['seq']))
      }
      stop(moment)
    },
  })
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(world.time.elapsedMs() - renamedAtMs).toBeLessThan(40_000)
})

test('a look at a failed table that finds the whole server wanting ends nothing', async () => {
  const world = written(['1'])
  const findings: Finding[] = []
  const wanting: Finding = { severity: 'error', subject: 'slots', message: 'none free' }
  const { end, pauses } = await pausesUntil(
    world,
    ({ length }) => {
      if (length === 1) findings.push(wanting)
      return length > 1
    },
    { findings, looks: 10 },
  )
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(pauses.map((ms) => Math.floor(ms / 60_000))).toEqual([5])
})
