/**
 * What the catalog remembers: deployed resources, destination tables, updates and events. Data and
 * progress are not here: they live in staging and in the Delta logs, and win over it.
 */
import type { ConnectionAddress, Connection } from './connection.ts'
import type { DestinationRecord } from './destination-record.ts'
import type { GatewayDefinition } from './gateway-definition.ts'
import type { TableName } from './names.ts'
import type { PipelineDefinition } from './pipeline-definition.ts'
import type { Resources, StorageRoot } from './resources.ts'
import type { Environment } from './template.ts'

export type UpdateState = 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELED'

/** One run of a gateway or pipeline. */
export interface UpdateRecord {
  readonly id: string
  /** Of the gateway or pipeline. */
  readonly ownerId: string
  readonly state: UpdateState
  readonly startedAtMs: number
  readonly endedAtMs: number | undefined
  /** Why it failed: an error code and its message. */
  readonly error: { readonly code: string; readonly message: string } | undefined
}

export interface EventRecord {
  readonly atMs: number
  readonly ownerId: string
  readonly level: 'info' | 'warn' | 'error'
  /** `catalog.schema.table` or `schema.table` when it is about one table. */
  readonly table: string | undefined
  readonly message: string
  readonly code: string | undefined
}

/** The last words of a running gateway or pipeline, for `status` in another process. */
export interface LiveStatus {
  readonly ownerId: string
  readonly processId: number
  readonly atMs: number
  /** JSON; the shape is the writer's own. */
  readonly json: string
}

export interface DeploymentChange {
  /** `undeclared`: deployed before and not among the resources any more; nothing was done. */
  readonly kind: 'created' | 'updated' | 'unchanged' | 'undeclared'
  readonly resource: 'connection' | 'gateway' | 'pipeline'
  readonly key: string
}

/** Another pipeline may take it over. */
export interface Release {
  readonly pipelineId: string
  /**
   * `catalog.schema.table`, until the pipeline has it on record again; undefined: whatever it owns,
   * until it is deployed again.
   */
  readonly destination: string | undefined
}

/** Errors: CATALOG_*. All writes are durable when they resolve. */
export interface CatalogStore {
  /**
   * Creates or updates everything in `resources` at once or, with CONFIG_IMMUTABLE_FIELD, nothing.
   * What is deployed already and is not in `resources` stays.
   */
  deploy(resources: Resources): Promise<readonly DeploymentChange[]>
  connections(): Promise<readonly Connection[]>
  gateways(): Promise<readonly GatewayDefinition[]>
  pipelines(): Promise<readonly PipelineDefinition[]>
  /** Of those: deployed earlier, and not in the file that its gateway was last deployed from. */
  withdrawnPipelines(): Promise<ReadonlySet<string>>
  /** With the pipelines that read from it; their destination tables stay, released. */
  removeGateway(id: string): Promise<void>
  /** With the records of its destination tables; they stay, released. */
  removePipeline(id: string): Promise<void>
  /** What removed pipelines gave up. */
  releases(): Promise<readonly Release[]>
  storageRoots(): Promise<readonly StorageRoot[]>
  /** Address of a deployed connection. Throws CONFIG_UNKNOWN_REFERENCE, CONFIG_ENV_UNSET, CATALOG_SECRET_UNREADABLE. */
  openConnection(name: string, env: Environment): Promise<ConnectionAddress>

  /** Inserts or replaces by name. */
  saveDestination(record: DestinationRecord): Promise<void>
  /** Ascending by name. */
  destinations(): Promise<readonly DestinationRecord[]>
  removeDestination(name: TableName): Promise<void>

  /** Asks for a full refresh; kept until `clearRefresh`. */
  requestRefresh(name: TableName): Promise<void>
  refreshRequests(): Promise<readonly TableName[]>
  clearRefresh(name: TableName): Promise<void>

  startUpdate(ownerId: string): Promise<string>
  endUpdate(
    updateId: string,
    state: Exclude<UpdateState, 'RUNNING'>,
    error?: { readonly code: string; readonly message: string },
  ): Promise<void>
  /** Newest first. */
  updates(ownerId: string, limit: number): Promise<readonly UpdateRecord[]>
  addEvent(event: EventRecord): Promise<void>
  /** Newest first; of all owners when `ownerId` is undefined. The newest 10 000 are kept. */
  events(ownerId: string | undefined, limit: number): Promise<readonly EventRecord[]>
  saveLiveStatus(status: LiveStatus): Promise<void>
  /**
   * Saves it unless `isHeld` says of what is there that somebody else works: that is returned then.
   * Of several processes at once exactly one gets undefined.
   */
  claimLiveStatus(
    status: LiveStatus,
    isHeld: (present: LiveStatus) => boolean,
  ): Promise<LiveStatus | undefined>
  liveStatus(ownerId: string): Promise<LiveStatus | undefined>

  close(): Promise<void>
}
