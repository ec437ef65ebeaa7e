import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../base/clock.ts'
import { openSqliteStore } from '../catalog/sqlite-store.ts'
import { claimGateways } from './claim-gateways.ts'

const gateways = [{ id: 'g', key: 'gw' }]

test('a gateway that a living process has claimed is not begun by another; one that was let go is', async () => {
  const dataFolder = await mkdtemp(join(tmpdir(), 'sluice-claim-'))
  const store = openSqliteStore({ dataFolder, clock: systemClock, create: true })
  const context = { store, clock: systemClock }
  try {
    const claim = await claimGateways(context, gateways)
    const mine = await store.liveStatus('g')
    expect(mine?.processId).toBe(process.pid)
    await claim.release()
    expect((await store.liveStatus('g'))?.processId).toBe(0)
    // The process that started this one lives.
    const others = { ownerId: 'g', processId: process.ppid, atMs: Date.now(), json: '{}' }
    await store.saveLiveStatus(others)
    await expect(claimGateways(context, gateways)).rejects.toMatchObject({
      code: 'GATEWAY_RUNNING',
    })
    expect(await store.liveStatus('g')).toEqual(others)
    await store.saveLiveStatus({ ...others, atMs: Date.now() - 60_000 })
    await (await claimGateways(context, gateways)).release()
  } finally {
    await store.close()
    await rm(dataFolder, { recursive: true, force: true })
  }
})
