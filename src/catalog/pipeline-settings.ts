/**
 * Settings beyond the fields that every platform shares: `sluice.*` keys in the `configuration` map
 * of a gateway or an ingestion pipeline. Each is declared here once; docs/configuration.md lists
 * them. Definitions keep the text, so that a stored one can be read by any later version.
 */
import { boolean, bytesSize, choice, duration, integer, type SettingKind } from './setting-kinds.ts'

export interface PipelineSetting<T> {
  readonly key: `sluice.${string}`
  /** What may carry it. */
  readonly on: 'gateway' | 'pipeline'
  /** One sentence for docs and help. */
  readonly summary: string
  /** As a person would write it; must parse. */
  readonly initial: string
  readonly kind: SettingKind<T>
}

/** Keys with the text a person gave; what is not in it has its initial value. */
export type SettingTexts = Readonly<Record<string, string>>

export const pipelineSettings = {
  snapshotWorkers: {
    key: 'sluice.snapshot.workers',
    on: 'gateway',
    summary: 'Pieces of tables that are copied at once, each over a connection of its own.',
    initial: '2',
    kind: integer(1, 16),
  },
  snapshotMaxAge: {
    key: 'sluice.snapshot.maxAge',
    on: 'gateway',
    summary:
      'A copy whose snapshot is this old goes on under a newer one, so that the source can clean up; the last look at what changed meanwhile may take longer.',
    initial: '30min',
    kind: duration(1000, 7 * 86_400_000),
  },
  snapshotBytesPerSecond: {
    key: 'sluice.snapshot.maxBytesPerSecond',
    on: 'gateway',
    summary: 'Most that all copies together read in a second; `off`: as much as they can.',
    initial: 'off',
    kind: bytesSize(0, 2 ** 40),
  },
  snapshotChunkBytes: {
    key: 'sluice.snapshot.chunkBytes',
    on: 'gateway',
    summary:
      'Larger tables are copied in pieces of about this size; a copy that was cut off goes on after its last whole piece.',
    initial: '64MiB',
    kind: bytesSize(8192, 2 ** 40),
  },
  transactionSpool: {
    key: 'sluice.transactions.spool',
    on: 'gateway',
    summary:
      'Room on disk for large transactions that the source sends before they commit; `off`: it sends them when they have committed.',
    initial: '16GiB',
    kind: bytesSize(0, 2 ** 50),
  },
  slotFailover: {
    key: 'sluice.slot.failover',
    on: 'gateway',
    summary:
      'Marks the replication slot so that standbys keep a copy of it (PostgreSQL 17 and newer; elsewhere without effect).',
    initial: 'true',
    kind: boolean(),
  },
  heartbeatInterval: {
    key: 'sluice.heartbeat.interval',
    on: 'gateway',
    summary:
      "How often a mark is written into the source's log, to see how long it takes to come through; `off`: never.",
    initial: '1min',
    kind: duration(0, 86_400_000),
  },
  unfitValues: {
    key: 'sluice.unfitValues',
    on: 'pipeline',
    summary:
      'What becomes of values that no type of the destination can hold (infinite dates, years beyond 9999, NaN in a decimal): fail stops the table, null, clamp (the nearest value), string (all columns of these kinds become strings, and tables that have one are loaded again) or quarantine (the row goes to <table>__quarantine). It holds for all tables of the pipeline.',
    initial: 'fail',
    kind: choice('fail', 'null', 'clamp', 'string', 'quarantine'),
  },
} as const satisfies Readonly<Record<string, PipelineSetting<unknown>>>

/** The value that holds; the initial one for a text that no longer parses. */
export function settingValue<T>(
  texts: SettingTexts | undefined,
  { key, initial, kind }: PipelineSetting<T>,
): T {
  const value = kind.parse(texts?.[key] ?? initial) ?? kind.parse(initial)
  if (value === undefined) throw new RangeError(`${key} has the initial value "${initial}"`)
  return value
}
