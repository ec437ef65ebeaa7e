/** The last words of a running gateway or pipeline, for `status` in another process. */
import { decodeJson, encodeJson } from './exact-json.ts'
import type { CatalogStore, LiveStatus } from '../catalog/store.ts'
import type { GatewayStatus } from '../gateway/gateway-status.ts'
import type { PipelineStatus } from '../pipeline/pipeline-status.ts'

/** Words older than this are those of a process that hangs or is gone. */
const staleAfterMs = 15_000

export function encodeStatus(status: GatewayStatus | PipelineStatus): string {
  return encodeJson(status)
}

export interface LastWords<T> {
  readonly status: T
  readonly atMs: number
  /** The process that said it is alive and spoke lately. */
  readonly isRunning: boolean
}

/** In place of a process id: the last words of a run that ended in order. */
export const notRunning = 0

export function isAlive(processId: number): boolean {
  if (processId === notRunning) return false
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    // EPERM: it is there, but another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export async function lastWords<T extends GatewayStatus | PipelineStatus>(
  store: CatalogStore,
  ownerId: string,
  nowMs: number,
): Promise<LastWords<T> | undefined> {
  const live = await store.liveStatus(ownerId)
  if (live === undefined) return undefined
  const isRunning = isRunningNow(live, nowMs)
  return { status: decodeJson(live.json) as T, atMs: live.atMs, isRunning }
}

export function isRunningNow(live: Pick<LiveStatus, 'atMs' | 'processId'>, nowMs: number): boolean {
  return nowMs - live.atMs < staleAfterMs && isAlive(live.processId)
}
