/** Copies after a failover: those that show what the promoted server never had are thrown away. */
import { expect, test } from 'vitest'
import { type Change, fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'
import type { ManifestEntry } from '../staging/manifest.ts'

const small = { chunkIntervalMs: 0, snapshotWorkers: 1 }

function insert(id: number): Change {
  return { op: 'i', table: fakeTable('1'), row: { id, a: 'x', b: 'y' } }
}

function entriesOf(world: GatewayWorld): ManifestEntry[] {
  return world.disk.manifests.flatMap((manifest) => manifest.entries)
}

function kindsOf(world: GatewayWorld): string[] {
  return entriesOf(world).map(({ kind }) => kind)
}

/** A gateway that is killed when a part of a copy is staged. */
async function killedAt(step: number): Promise<GatewayWorld> {
  const world = new GatewayWorld([fakeTable('1')])
  for (let id = 1; id <= 8; id++) world.database.commit([insert(id)])
  const source = { chunks: 4 }
  await world.process({ mode: 'once', diesAt: step, settings: small, source })
  return world
}

async function killedInCopy(): Promise<{ world: GatewayWorld; shownTo: number }> {
  for (let step = 1; ; step++) {
    const world = await killedAt(step)
    const kinds = kindsOf(world)
    if (!kinds.includes('snapshot_chunk')) continue
    expect(kinds).not.toContain('snapshot_finished')
    const started = entriesOf(world).find((entry) => entry.kind === 'snapshot_started')
    const { count } = JSON.parse(started?.point ?? '{}') as { count: number }
    return { world, shownTo: count }
  }
}

test('trap: a copy in progress that shows more than the promoted server has begins anew', async () => {
  const { world, shownTo } = await killedInCopy()
  const source = { chunks: 4, branchedAt: shownTo - 1 }
  const end = await world.process({ mode: 'once', settings: small, source })
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(end.source.resumed).toEqual([])
  expect(end.source.copies).toEqual(['1'])
  expect(entriesOf(world)).toContainEqual({
    kind: 'gap',
    table_id: '1',
    reason: 'the copy shows what the promoted server never had',
  })
  expect(world.loadable()).toEqual(['1'])
  world.assertExact()
})

test('a copy in progress of which the promoted server has everything goes on', async () => {
  const { world, shownTo } = await killedInCopy()
  const source = { chunks: 4, branchedAt: shownTo }
  const end = await world.process({ mode: 'once', settings: small, source })
  expect(end.source.resumed).toEqual(['1'])
  expect(kindsOf(world)).not.toContain('gap')
  expect(world.loadable()).toEqual(['1'])
  world.assertExact()
})

test('a copy that the stream has passed is kept over every promotion after that place', async () => {
  const { world, shownTo } = await killedInCopy()
  await world.process({ mode: 'once', settings: small })
  const source = { branchedAt: shownTo }
  const end = await world.process({ mode: 'once', settings: small, source })
  expect(end.source.copies).toEqual([])
  expect(kindsOf(world)).not.toContain('gap')
  world.assertExact()
})

test('trap: a copy that this process has in progress begins anew too', async () => {
  const world = new GatewayWorld([fakeTable('1')])
  for (let id = 1; id <= 8; id++) world.database.commit([insert(id)])
  let failures = 0
  const isCopying = (): boolean => kindsOf(world).includes('snapshot_started')
  const end = await world.process({
    mode: 'once',
    settings: small,
    source: { chunks: 4, branchedAt: 8 },
    atStep: ({ name }) => {
      // The copy shows it, and the stream does not come so far before its connection breaks.
      if (name === 'before snapshot' && failures === 0) world.database.commit([insert(9)])
      if (name !== 'stream' || failures > 0 || world.database.log.length < 9) return
      if (isCopying()) failures++
      throw new Error('the connection broke')
    },
  })
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(failures).toBe(1)
  expect(entriesOf(world).filter(({ kind }) => kind === 'gap')).toHaveLength(1)
  expect(end.source.copies).toEqual(['1', '1'])
  world.assertExact()
})
