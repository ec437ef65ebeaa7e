/** Numbers a gateway runs by. Sizes in bytes, durations in ms. */
import { defaultBackoff, type BackoffSettings } from '../base/backoff.ts'

export interface GatewaySettings {
  /** Changes held in memory, all tables together, decoded but not yet written. */
  readonly bufferBytes: number
  /** A commit boundary with this much gathered is staged at once. */
  readonly commitBytes: number
  /** Age at which gathered changes are staged. */
  readonly flushIntervalMs: number
  /** The same while the stream is far behind: fewer, larger files and nobody waits for freshness. */
  readonly bulkFlushIntervalMs: number
  /** A stream whose transactions are older than this is far behind. */
  readonly bulkLagMs: number
  /** How often a position alone is staged when nothing wanted arrives. */
  readonly positionIntervalMs: number
  /** Table chunks read at once. */
  readonly snapshotWorkers: number
  /** Rows of one chunk reader in memory, decoded but not yet written. */
  readonly snapshotBufferBytes: number
  /** Input after which a snapshot or change file is closed and another one begun. */
  readonly fileBytes: number
  /** How long finished chunks wait for company in one staged commit. */
  readonly chunkIntervalMs: number
  /** How often the source is asked for new, gone and changed tables (continuous mode). */
  readonly discoverIntervalMs: number
  readonly healthIntervalMs: number
  readonly backoff: BackoffSettings
  /** Pauses, of their full length, before a table that was given up for its copy is tried again. */
  readonly givenUpBackoff: BackoffSettings
  /** Failures in a row, without progress, after which `once` and `until` give up. */
  readonly onceFailures: number
  /**
   * A snapshot this old is given up for a newer one between two chunks: it holds back what the
   * source can clean up.
   */
  readonly snapshotMaxAgeMs: number
  /** Most that all copies together read in a second; 0: no limit. */
  readonly snapshotBytesPerSecond: number
  /** Tries of one chunk inside one snapshot before the table is copied anew. */
  readonly chunkTries: number
}

const mebibyte = 1024 * 1024

export const defaultGatewaySettings: GatewaySettings = {
  bufferBytes: 32 * mebibyte,
  commitBytes: 64 * mebibyte,
  flushIntervalMs: 250,
  bulkFlushIntervalMs: 2_000,
  bulkLagMs: 10_000,
  positionIntervalMs: 10_000,
  snapshotWorkers: 2,
  snapshotBufferBytes: 32 * mebibyte,
  fileBytes: 128 * mebibyte,
  chunkIntervalMs: 2_000,
  discoverIntervalMs: 30_000,
  healthIntervalMs: 10_000,
  backoff: defaultBackoff,
  // A copy may fail at the last row of a large table.
  givenUpBackoff: { firstMs: 60_000, capMs: 3_600_000 },
  onceFailures: 5,
  snapshotMaxAgeMs: 30 * 60_000,
  snapshotBytesPerSecond: 0,
  chunkTries: 3,
}
