/** Names in `_delta_log`. PROTOCOL.md, "Delta Log Entries" and "Checkpoints". */
import type { DeltaVersion } from './delta-table.ts'

export type LogFile =
  | { readonly kind: 'commit'; readonly version: DeltaVersion; readonly path: string }
  /** Whole checkpoint in one file: classic name, or the UUID name of the V2 spec. */
  | { readonly kind: 'checkpoint'; readonly version: DeltaVersion; readonly path: string }
  | {
      readonly kind: 'checkpoint-part'
      readonly version: DeltaVersion
      readonly path: string
      /** From 1 to `parts`. */
      readonly part: number
      readonly parts: number
    }

export function deltaVersion(value: bigint | number): DeltaVersion {
  return BigInt(value) as DeltaVersion
}

const digits = (version: bigint): string => version.toString().padStart(20, '0')

export function logFolder(root: string): string {
  return root === '' ? '_delta_log' : `${root}/_delta_log`
}

export function commitPath(root: string, version: bigint): string {
  return `${logFolder(root)}/${digits(version)}.json`
}

export function checkpointPath(root: string, version: bigint): string {
  return `${logFolder(root)}/${digits(version)}.checkpoint.parquet`
}

export function lastCheckpointPath(root: string): string {
  return `${logFolder(root)}/_last_checkpoint`
}

/** Listing after this path begins with the files of `version`. */
export function listFromPath(root: string, version: bigint): string {
  return `${logFolder(root)}/${digits(version)}`
}

const namePattern =
  /^(\d{20})\.(?:(json)|checkpoint(?:\.(\d{10})\.(\d{10})|\.[0-9a-f-]{36})?\.(?:parquet|json))$/

/** undefined for everything that replay does not need: checksums, compactions, hints, folders. */
export function parseLogPath(path: string): LogFile | undefined {
  const match = namePattern.exec(path.slice(path.lastIndexOf('/') + 1))
  if (match === null) return undefined
  const version = deltaVersion(BigInt(match[1] ?? ''))
  if (match[2] !== undefined) return { kind: 'commit', version, path }
  if (match[3] === undefined) return { kind: 'checkpoint', version, path }
  return { kind: 'checkpoint-part', version, path, part: Number(match[3]), parts: Number(match[4]) }
}
