/** `delta.*` properties in `metaData.configuration`, typed. Unreadable values mean the default. */
import type { Metadata } from './actions.ts'

const msOfUnit: Readonly<Record<string, number>> = {
  millisecond: 1,
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 604_800_000,
}

/** `interval 7 days`, `1 week 2 hours`; undefined when it is nothing of the kind. */
export function parseIntervalMs(text: string | undefined): number | undefined {
  const body = text
    ?.trim()
    .toLowerCase()
    .replace(/^interval\s+/, '')
  if (body === undefined || !/^(\d+\s+[a-z]+\s*)+$/.test(body)) return undefined
  let total = 0
  for (const [, count, unit] of body.matchAll(/(\d+)\s+([a-z]+)/g)) {
    const ms = msOfUnit[(unit ?? '').replace(/s$/, '')]
    if (ms === undefined) return undefined
    total += Number(count) * ms
  }
  return total
}

/** How long removed files stay in checkpoints, and on disk. Default 7 days. */
export function deletedFileRetentionMs(metadata: Metadata): number {
  const text = metadata.configuration['delta.deletedFileRetentionDuration']
  return parseIntervalMs(text) ?? 7 * 86_400_000
}

/** How long versions can be read back in time. Default 30 days. */
export function logRetentionMs(metadata: Metadata): number {
  const text = metadata.configuration['delta.logRetentionDuration']
  return parseIntervalMs(text) ?? 30 * 86_400_000
}

export function mayCleanUpLog(metadata: Metadata): boolean {
  return metadata.configuration['delta.enableExpiredLogCleanup']?.toLowerCase() !== 'false'
}

/** A checkpoint follows every version that is a multiple of this. Default 10. */
export function checkpointInterval(metadata: Metadata): bigint {
  const text = metadata.configuration['delta.checkpointInterval'] ?? ''
  return /^[1-9]\d{0,8}$/.test(text) ? BigInt(text) : 10n
}

export function isEnabled(metadata: Metadata, property: string): boolean {
  return metadata.configuration[property]?.toLowerCase() === 'true'
}
