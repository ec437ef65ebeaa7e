import { expect, test } from 'vitest'
import { fakeTable, type Change } from '../../test/support/gateway/fake-database.ts'
import { positionOf } from '../../test/support/gateway/fake-source.ts'
import { GatewayWorld, type Moment } from '../../test/support/gateway/gateway-world.ts'
import { openMemoryStaging } from '../../test/support/gateway/memory-staging.ts'
import { SluiceError } from '../base/errors.ts'
import type { ManifestEntry } from '../staging/manifest.ts'

function worldOf(...ids: string[]): GatewayWorld {
  return new GatewayWorld(ids.map((id) => fakeTable(id)))
}

function write(world: GatewayWorld, commits: number): void {
  for (let n = 0; n < commits; n++) {
    world.database.commit(world.database.randomChanges(world.random, 6))
  }
}

function entriesOf(world: GatewayWorld): ManifestEntry[] {
  return world.disk.manifests.flatMap((manifest) => manifest.entries)
}

function insert(table: string, id: number): Change {
  return { op: 'i', table: fakeTable(table), row: { id, a: 'x', b: 'y' } }
}

/** Stops the run once `isTrue`; fails it after very many steps. */
function stopWhen(isTrue: (moment: Moment) => boolean): (moment: Moment) => void {
  let left = 5_000
  return (moment) => {
    if (left-- === 0) throw new SluiceError('ABORTED', 'what the test waits for does not happen')
    if (isTrue(moment)) moment.stop()
  }
}

test('once: copies what is there, reads what follows, and copies nothing twice', async () => {
  const world = worldOf('1', '2')
  write(world, 5)
  const first = await world.process({ mode: 'once' })
  expect(first).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(world.loadable()).toEqual(['1', '2'])
  write(world, 5)
  const second = await world.process({ mode: 'once' })
  expect(second.source.copies).toEqual([])
  expect(world.disk.manifests.at(-1)?.position_after).toBe('10')
  expect(second.source.acknowledged).toBe(10)
  world.assertExact()
})

test('once with nothing new publishes nothing but its claim', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  const before = world.disk.manifests.length
  await world.process({ mode: 'once' })
  expect(world.disk.manifests.slice(before)).toMatchObject([{ entries: [] }])
})

test('until: stops before the position and marks a barrier, also with nothing new', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  write(world, 4)
  const until = async (position: number): Promise<unknown> => {
    await world.process({ mode: 'once', until: position })
    return world.disk.manifests.at(-1)
  }
  expect(await until(3)).toMatchObject({ position_after: '3', barrier: true })
  expect(await until(3)).toMatchObject({ position_after: '3', barrier: true, entries: [] })
  world.assertExact()
})

test('a table with an unmet requirement fails with its code; the others go on', async () => {
  const world = worldOf('1', '2')
  write(world, 3)
  const findings = [
    {
      severity: 'error',
      code: 'GATEWAY_CHECK_FAILED',
      subject: 'key',
      message: 'no primary key',
      remedy: 'ALTER TABLE …',
      table: 'public.t1',
    },
  ] as const
  const end = await world.process({ mode: 'once', source: { findings } })
  expect(end).toMatchObject({
    kind: 'resolved',
    result: { failedTables: [{ tableId: '1', problem: { remedy: 'ALTER TABLE …' } }] },
  })
  expect(world.loadable()).toEqual(['2'])
  // A followed table that fails is discontinued on record, and copied anew when it is well again.
  await world.process({ mode: 'once' })
  expect(world.loadable()).toEqual(['1', '2'])
  await world.process({ mode: 'once', source: { findings } })
  expect(world.loadable()).toEqual(['2'])
  write(world, 3)
  expect((await world.process({ mode: 'once' })).source.copies).toEqual(['1'])
  world.assertExact()
})

test('an unmet requirement of the server ends the run with all of them named', async () => {
  const world = worldOf('1')
  const finding = { severity: 'error', subject: 'wal_level', message: 'is replica' } as const
  const other = { severity: 'error', subject: 'slots', message: 'none free' } as const
  const end = await world.process({ mode: 'once', source: { findings: [finding, other] } })
  expect(end).toMatchObject({
    kind: 'rejected',
    error: { code: 'GATEWAY_CHECK_FAILED', message: expect.stringContaining('slots: none free') },
  })
})

test('a table that is asked for by name and not there is a failed one', async () => {
  const world = worldOf('1')
  const selection = {
    schemas: [],
    tables: [
      { schema: 'public', table: 't1' },
      { schema: 'public', table: 'nope' },
    ],
  }
  expect(await world.process({ mode: 'once', selection })).toMatchObject({
    result: { failedTables: [{ problem: { code: 'GATEWAY_TABLE_NOT_FOUND' } }] },
  })
  expect(world.loadable()).toEqual(['1'])
})

test('a table with a column of ours is refused by name', async () => {
  const world = new GatewayWorld([fakeTable('1', ['_SEQ']), fakeTable('2')])
  expect(await world.process({ mode: 'once' })).toMatchObject({
    result: { failedTables: [{ tableId: '1', problem: { code: 'GATEWAY_COLUMN_CLASH' } }] },
  })
  expect(world.loadable()).toEqual(['2'])
})

test('once gives up with the coded error when the source stays away', async () => {
  const world = worldOf('1')
  const names: string[] = []
  const end = await world.process({
    mode: 'once',
    atStep({ name }) {
      names.push(name)
      throw new SluiceError('INTERNAL_ERROR', 'no connection')
    },
  })
  expect(end).toMatchObject({ kind: 'rejected', error: { message: 'no connection' } })
  expect(names).toEqual(Array.from({ length: 5 }, () => 'discover'))
})

test('continuous outlasts a source that goes away at the start and in the middle', async () => {
  const world = worldOf('1')
  write(world, 3)
  let refusals = 0
  let streamed = 0
  const end = await world.process({
    mode: 'continuous',
    atStep(moment) {
      if (moment.name === 'discover' && refusals++ < 12) throw new Error('no connection')
      if (moment.name === 'stream' && ++streamed % 7 === 0) throw new Error('connection reset')
      if (streamed === 20) write(world, 5)
      if (streamed > 90) moment.stop()
    },
  })
  expect(end.kind).toBe('resolved')
  expect(world.disk.manifests.at(-1)?.position_after).toBe(String(world.database.log.length))
  expect(end.source.copies).toEqual(['1'])
  world.assertExact()
})

test('continuous takes in a table that is created, and lets go of one that is dropped', async () => {
  const world = worldOf('1', '2')
  let isChanged = false
  const end = await world.process({
    mode: 'continuous',
    atStep: stopWhen(({ gateway }) => {
      const states = gateway.status().tables.map(({ tableId, state }) => `${tableId} ${state}`)
      if (!isChanged && states.join() === '1 streaming,2 streaming') {
        isChanged = true
        world.database.create(fakeTable('3'))
        world.database.drop('2')
        world.database.commit([insert('1', 1), insert('3', 1)])
      }
      return states.join() === '1 streaming,2 failed,3 streaming'
    }),
  })
  // Nobody asked for it by name.
  expect(end).toMatchObject({ result: { failedTables: [] } })
  const gone = world.disk.manifests.flatMap(({ entries }) => entries)
  expect(gone.filter((entry) => entry.kind === 'gap')).toMatchObject([
    { table_id: '2', gone: true },
  ])
  expect(end.source.copies.toSorted()).toEqual(['1', '2', '3'])
  world.assertExact()
  expect(world.loadable()).toEqual(['1', '3'])
  // What was dropped before a run began concerns nobody.
  expect(await world.process({ mode: 'once' })).toMatchObject({ result: { failedTables: [] } })
})

test('a table that was dropped while no gateway ran is put on record as gone, once', async () => {
  const world = worldOf('1', '2')
  await world.process({ mode: 'once' })
  world.database.drop('2')
  for (let run = 0; run < 3; run++) {
    expect(await world.process({ mode: 'once' })).toMatchObject({ result: { failedTables: [] } })
  }
  const entries = world.disk.manifests.flatMap((manifest) => manifest.entries)
  expect(entries.filter(({ kind }) => kind === 'gap')).toEqual([
    { kind: 'gap', table_id: '2', reason: 'the table is no longer in the source', gone: true },
  ])
})

test('trap: a table that is dropped and was asked for by name is missed', async () => {
  const world = worldOf('1', '2')
  const tables = [{ schema: 'public', table: 't2' }]
  await world.process({ mode: 'once', selection: { schemas: [], tables } })
  world.database.drop('2')
  expect(await world.process({ mode: 'once', selection: { schemas: [], tables } })).toMatchObject({
    result: { failedTables: [{ problem: { code: 'GATEWAY_TABLE_NOT_FOUND' } }] },
  })
})

test('a table that is selected again after a pause is copied anew', async () => {
  const world = worldOf('1', '2')
  await world.process({ mode: 'once' })
  const selection = { schemas: [], tables: [{ schema: 'public', table: 't2' }] }
  write(world, 3)
  await world.process({ mode: 'once', selection })
  expect(world.loadable()).toEqual(['2'])
  expect((await world.process({ mode: 'once' })).source.copies).toEqual(['1'])
  expect(world.loadable()).toEqual(['1', '2'])
  world.assertExact()
})

test('refresh copies the named table anew, and only that one', async () => {
  const world = worldOf('1', '2')
  await world.process({ mode: 'once' })
  write(world, 3)
  const end = await world.process({ mode: 'once', refresh: ['2'] })
  expect(end.source.copies).toEqual(['2'])
  expect(entriesOf(world)).toContainEqual(
    expect.objectContaining({ kind: 'snapshot_finished', table_id: '2', snapshot_id: 1 }),
  )
  world.assertExact()
})

test('refresh during a run copies beside the stream', async () => {
  const world = worldOf('1')
  let isAsked = false
  const end = await world.process({
    mode: 'continuous',
    atStep: stopWhen(({ gateway }) => {
      const isStreaming = gateway.status().tables[0]?.state === 'streaming'
      if (isStreaming && !isAsked) {
        isAsked = true
        gateway.refresh('all')
        return false
      }
      return isStreaming && isAsked
    }),
  })
  expect(end.source.copies).toEqual(['1', '1'])
})

test('once: a table torn on the way is loadable at the end, however fast its new copy is', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  const table = fakeTable('1')
  world.database.commit([{ op: 'gap', table }])
  for (let id = 0; id < 300; id++) world.database.commit([insert('1', id)])
  const end = await world.process({
    mode: 'once',
    atStep({ name }) {
      // The copy shows more than the position up to which this run reads.
      if (name === 'before snapshot') world.database.commit([insert('1', 1000)])
    },
  })
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(end.source.copies).toEqual(['1'])
  expect(world.loadable()).toEqual(['1'])
  world.assertExact()
})

test('a chunk that fails is read again in the same copy; one that always fails costs the copy', async () => {
  const world = worldOf('1', '2')
  write(world, 3)
  let failures = 0
  const failing = (most: number) => {
    failures = 0
    return ({ name }: Moment): void => {
      if (name === 'chunk row' && failures++ < most) throw new Error('connection reset')
    }
  }
  const end = await world.process({ mode: 'once', atStep: failing(2) })
  expect(end.source.copies.toSorted()).toEqual(['1', '2'])
  const again = await world.process({ mode: 'once', refresh: 'all', atStep: failing(20) })
  expect(again.source.copies.length).toBeGreaterThan(2)
  expect(again).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  world.assertExact()
})

test('a table whose copy needs a person fails; the others go on', async () => {
  const world = worldOf('1', '2')
  write(world, 3)
  const end = await world.process({
    mode: 'once',
    atStep({ name, gateway }) {
      const isFirst = gateway.status().tables.find(({ tableId }) => tableId === '1')
      if (name === 'before snapshot' && isFirst?.state === 'pending') {
        throw new SluiceError('GATEWAY_CHECK_FAILED', 'no permission')
      }
    },
  })
  expect(end).toMatchObject({
    result: { failedTables: [{ tableId: '1', problem: { message: 'no permission' } }] },
  })
  expect(world.loadable()).toEqual(['2'])
})

test('a gateway that was taken over stops and leaves the log alone', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  write(world, 3)
  const end = await world.process({
    mode: 'continuous',
    atStep({ name }) {
      if (name === 'prepare') openMemoryStaging({ disk: world.disk })
    },
  })
  expect(end).toMatchObject({ kind: 'rejected', error: { code: 'STAGING_FENCED' } })
  expect(world.disk.manifests.at(-1)).toMatchObject({ entries: [], position_after: '0' })
  expect(end.source.acknowledged).toBe(-1)
})

test('an idle stream acknowledges as the log goes on without our tables', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  const selection = { schemas: [], tables: [{ schema: 'public', table: 't1' }] }
  world.database.create(fakeTable('2'))
  for (let n = 0; n < 5; n++) world.database.commit([insert('2', n)])
  const commits = world.disk.manifests.length
  const end = await world.process({
    mode: 'continuous',
    selection,
    atStep: stopWhen(() => world.disk.manifests.at(-1)?.position_after === '5'),
  })
  expect(end.source.acknowledged).toBe(5)
  const since = world.disk.manifests.slice(commits)
  expect(since.flatMap(({ entries }) => entries)).toEqual([])
  expect(since.filter((manifest) => 'first_sequence' in manifest)).toEqual([])
})

test('key changes, truncates and absent cells arrive in order within one transaction', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  const table = fakeTable('1')
  world.database.commit([
    insert('1', 1),
    { op: 'u', table, row: { id: 1, a: 'z', b: 'y' }, absent: ['b'] },
    { op: 'rekey', table, from: 1, row: { id: 2, a: 'z', b: 'y' }, absent: ['a', 'b'] },
    { op: 'truncate', tables: [table.id] },
    insert('1', 2),
  ])
  await world.process({ mode: 'once' })
  const truncate = entriesOf(world).find(({ kind }) => kind === 'truncate')
  expect(truncate).toMatchObject({ sequence: '1', ordinal: 4 })
  world.assertExact()
})

test('a source that replaced its log is survived only when a full refresh was asked for', async () => {
  const world = worldOf('1')
  await world.process({ mode: 'once' })
  write(world, 2)
  const lost = new SluiceError('SOURCE_LOG_LOST', 'gone')
  const failing = (times: number) => {
    let left = times
    return ({ name }: Moment): void => {
      if (name === 'prepare' && left-- > 0) throw lost
    }
  }
  const refused = await world.process({ mode: 'once', atStep: failing(9) })
  expect(refused).toMatchObject({ kind: 'rejected', error: lost })
  const end = await world.process({ mode: 'once', refresh: 'all', atStep: failing(1) })
  expect(end).toMatchObject({ kind: 'resolved', source: { copies: ['1'] } })
  world.assertExact()
  expect(positionOf(2)).toBe(world.disk.manifests.at(-1)?.position_after)
})

test('trap: a full refresh of many tables looks at each of them, not at all of them for each', async () => {
  const ids = Array.from({ length: 12 }, (_, n) => String(n + 1))
  const world = worldOf(...ids)
  await world.process({ mode: 'once' })
  const looks: string[] = []
  const again = await world.process({
    mode: 'once',
    refresh: 'all',
    atStep: ({ name }) => looks.push(name),
  })
  expect(again.source.copies).toHaveLength(12)
  expect(looks.filter((name) => name === 'describe')).toHaveLength(12)
  expect(looks.filter((name) => name === 'discover')).toHaveLength(1)
  world.assertExact()
})
