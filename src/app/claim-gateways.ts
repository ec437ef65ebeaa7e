/** Of several processes that start to run a gateway at the same instant, one does. */
import { SluiceError } from '../base/errors.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import type { LiveStatus } from '../catalog/store.ts'
import { statusBeforeRun } from '../gateway/gateway-run.ts'
import { RecoveredLog } from '../staging/recovered-log.ts'
import type { Context } from './context.ts'
import { encodeStatus, isRunningNow, notRunning } from './live-status.ts'

/** Opening what a gateway stands on may take longer than words count. */
const repeatMs = 5000

export interface Claim {
  /** Whoever runs them speaks from now on. */
  handOver(): void
  /** Nothing came of it. */
  release(): Promise<void>
}

type Place = Pick<Context, 'store' | 'clock'>

/** Throws GATEWAY_RUNNING when another living process of this data folder runs one of them. */
export async function claimGateways(
  context: Place,
  gateways: readonly Pick<GatewayDefinition, 'id' | 'key'>[],
): Promise<Claim> {
  const claimed: string[] = []
  const say = async (processId: number): Promise<void> => {
    for (const id of claimed) {
      await context.store.saveLiveStatus(await wordsOf(context, id, processId))
    }
  }
  try {
    for (const { id, key } of gateways) {
      await claim(context, id, key)
      claimed.push(id)
    }
  } catch (error) {
    await say(notRunning)
    throw error
  }
  const timer = setInterval(() => void say(process.pid).catch(() => undefined), repeatMs)
  return {
    handOver: () => clearInterval(timer),
    release: async () => {
      clearInterval(timer)
      await say(notRunning)
    },
  }
}

async function claim(context: Place, id: string, key: string): Promise<void> {
  const words = await wordsOf(context, id, process.pid)
  const holder = await context.store.claimLiveStatus(words, (present) =>
    isOthers(present, words.atMs),
  )
  if (holder !== undefined) throw runElsewhere(key, holder)
}

/** Throws GATEWAY_RUNNING when another living process of this data folder runs the gateway. */
export async function assertNotRunning(
  { store, clock }: Place,
  { id, key }: Pick<GatewayDefinition, 'id' | 'key'>,
): Promise<void> {
  const present = await store.liveStatus(id)
  if (present !== undefined && isOthers(present, clock.nowMs())) throw runElsewhere(key, present)
}

function isOthers(present: LiveStatus, nowMs: number): boolean {
  return present.processId !== process.pid && isRunningNow(present, nowMs)
}

function runElsewhere(key: string, { processId }: LiveStatus): SluiceError {
  return new SluiceError('GATEWAY_RUNNING', `gateway ${key} is run by process ${processId}`, {
    remedy: `Stop that process first: kill ${processId}`,
  })
}

/** What was said last stays to be read until there is something to say. */
async function wordsOf(context: Place, ownerId: string, processId: number): Promise<LiveStatus> {
  const last = await context.store.liveStatus(ownerId)
  const json = last?.json ?? encodeStatus(statusBeforeRun({ recovered: new RecoveredLog() }))
  return { ownerId, processId, atMs: context.clock.nowMs(), json }
}
