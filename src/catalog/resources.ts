/** Everything a resource file declares, checked and linked. */
import { createHash } from 'node:crypto'
import type { Connection } from './connection.ts'
import type { GatewayDefinition } from './gateway-definition.ts'
import type { PipelineDefinition } from './pipeline-definition.ts'

/** A catalog or schema that says where its tables and volumes lie. */
export interface StorageRoot {
  readonly catalog: string
  /** undefined: the whole catalog. */
  readonly schema: string | undefined
  /** Absolute path of a local folder. */
  readonly folder: string
}

export interface Resources {
  readonly connections: readonly Connection[]
  readonly gateways: readonly GatewayDefinition[]
  readonly pipelines: readonly PipelineDefinition[]
  readonly storageRoots: readonly StorageRoot[]
}

/**
 * Id of the gateway or pipeline with this key. It follows from the key alone, so that a lost catalog
 * can be deployed anew from the file and still owns its staging and its tables.
 */
export function resourceId(key: string): string {
  const hex = createHash('sha256').update(`sluice pipeline ${key}`).digest('hex')
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
}
