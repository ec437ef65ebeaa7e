/**
 * The door between the commands and the product. `src/main.ts` implements it by wiring the parts;
 * commands know nothing else. All methods throw coded errors.
 */
import type { Resources } from '../catalog/resources.ts'
import type { DeploymentChange } from '../catalog/store.ts'
import type { GatewayStatus } from '../gateway/gateway-status.ts'
import type { Log } from '../observe/log.ts'
import type { PipelineStatus } from '../pipeline/pipeline-status.ts'
import type { Finding } from '../source/finding.ts'

export interface AppOptions {
  /** Folder of catalog, staging and lake. */
  readonly dataFolder: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /**
   * `create`: make the catalog when there is none. `existing`: throw CATALOG_NOT_FOUND then.
   * `none`: touch nothing there; only `check` and `quickstart` are called.
   */
  readonly catalog: 'create' | 'existing' | 'none'
}

export type OpenApp = (options: AppOptions) => Promise<App>

export interface App {
  /** Records the resources; changes nothing at the sources. */
  deploy(resources: Resources): Promise<readonly DeploymentChange[]>
  /** Looks at every source of the file, all requirements at once. Changes and records nothing. */
  check(resources: Resources, signal: AbortSignal): Promise<readonly CheckReport[]>
  /** Starts what the (deployed) resources declare; returns at once. */
  start(resources: Resources, options: StartOptions): Running
  status(): Promise<StatusReport>
  verify(options: VerifyOptions): Promise<VerifyReport>
  /** A read-only statement; tables by `catalog.schema.table`, `schema.table` or, if unique, `table`. */
  query(sql: string, signal: AbortSignal): Promise<QueryResult>
  /** Copies tables anew; the copy replaces the table in one commit. Returns at once. */
  refresh(options: RefreshOptions): Promise<Running>
  /** Takes a gateway away: at its source, then in the catalog. */
  remove(options: RemoveOptions): Promise<RemoveReport>
  quickstart(options: QuickstartOptions): Promise<QuickstartResult>
  close(): Promise<void>
}

export interface RemoveOptions {
  /** Of a deployed gateway or pipeline. */
  readonly key: string
  /** Without it nothing is done and the report says what would be. */
  readonly isConfirmed: boolean
  /** Also when its source cannot be asked: the catalog forgets it. */
  readonly isForgotten: boolean
}

export interface RemoveReport {
  readonly resource: 'gateway' | 'pipeline'
  /** In words; what would be done when it was not confirmed. */
  readonly steps: readonly string[]
  /** Why the source could not be asked, and what to run there by hand. */
  readonly problem: Problem | undefined
}

export interface CheckReport {
  /** Key of the gateway in the file. */
  readonly gateway: string
  readonly findings: readonly Finding[]
}

export interface StartOptions {
  readonly mode: 'once' | 'continuous'
  /** Aborted: finish the open work cleanly, then resolve. */
  readonly signal: AbortSignal
}

/** Work under way. */
export interface Running {
  /** Cheap; polled several times a second. */
  progress(): RunProgress
  /** Settles when the work has ended; a clean stop by the signal resolves. */
  readonly done: Promise<RunResult>
}

export interface RunProgress {
  /** What is being done, in a few words: `copying`, `streaming`, `applying`. */
  readonly phase: string
  readonly gateways: readonly { readonly name: string; readonly status: GatewayStatus }[]
  readonly pipelines: readonly { readonly name: string; readonly status: PipelineStatus }[]
}

export interface Problem {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

export interface RunResult {
  /** Tables that are not where they should be. The exit code is 0 only when there is none. */
  readonly failedTables: readonly { readonly table: string; readonly problem: Problem }[]
  /** Over the whole run. */
  readonly rowsLoaded: number
  readonly changesApplied: number
  readonly stagedCommit: number | undefined
  /** Destination tables that are up to date now. */
  readonly tableCount: number
  /** It was stopped, and another process goes on with what was asked of it. */
  readonly goesOnElsewhere?: true
}

export type StatusTableState =
  | 'pending'
  | 'snapshotting'
  | 'catching-up'
  | 'streaming'
  | 'stopped'
  | 'failed'
  /** No longer in the source; `problem` says what can be done, and nothing has to be. */
  | 'gone'
  /** Nothing leads to it any more; the same holds of `problem`. */
  | 'left'

export interface StatusTable {
  /** `catalog.schema.table` */
  readonly destination: string
  readonly source: string
  readonly state: StatusTableState
  /** How much of a copy in progress is done, from 0 to 1. */
  readonly copiedShare?: number | undefined
  /** Rows now in the table; undefined before its first load. */
  readonly rows: bigint | undefined
  readonly version: bigint | undefined
  /** Staged commit it is applied up to, and the newest one that holds something of it. */
  readonly appliedCommit: number | undefined
  readonly stagedCommit: number | undefined
  /** Source commit time of the newest change in the table, ms. */
  readonly appliedCommitAtMs: number | undefined
  /** Rows that are in quarantine and not in the table. */
  readonly heldBack?: HeldBack | undefined
  readonly problem: Problem | undefined
}

export interface HeldBack {
  /** Name of the quarantine table. */
  readonly table: string
  /** Rows with a version in it since the load; some may be back, in a version that fits. */
  readonly rows: bigint
}

export interface StatusGateway {
  readonly name: string
  readonly isRunning: boolean
  readonly stagedCommit: number | undefined
  /** Bytes of the source's log not yet staged; undefined when the source was not asked. */
  readonly lagBytes: bigint | undefined
  readonly retainedBytes: bigint | undefined
  readonly budgetBytes: bigint | undefined
  readonly secondsToLoss: number | undefined
  /** From a mark written at the source until the stream came past it. */
  readonly roundTripMs?: number | undefined
  /** Age of these numbers. */
  readonly atMs: number | undefined
  readonly problem: Problem | undefined
  /** What it left at the source, which keeps log for it. */
  readonly leftSlots?: readonly Problem[]
}

export interface StatusPipeline {
  readonly name: string
  readonly gateway: string
  readonly isRunning: boolean
  readonly freshness:
    | { readonly count: number; readonly p50Seconds: number; readonly p99Seconds: number }
    | undefined
  readonly tables: readonly StatusTable[]
}

export interface StatusReport {
  readonly dataFolder: string
  readonly gateways: readonly StatusGateway[]
  readonly pipelines: readonly StatusPipeline[]
}

export interface VerifyOptions {
  /** Destination names as typed; undefined: all. */
  readonly tables: readonly string[] | undefined
  readonly signal: AbortSignal
  readonly onTable?: (table: VerifiedTable) => void
}

export interface VerifiedTable {
  readonly destination: string
  readonly source: string
  readonly isEqual: boolean
  readonly sourceRows: bigint
  readonly destinationRows: bigint
  /** Keys only in the source, only in the destination, and in both with different cells. */
  readonly missing: bigint
  readonly extra: bigint
  readonly different: bigint
  /** The first few of those keys, for people. */
  readonly differences: readonly { readonly key: string; readonly kind: string }[]
  readonly version: bigint | undefined
  /** The source position compared at, for people. */
  readonly position: string | undefined
  /** Only inserts of the table are followed, and the two sides are not equal. */
  readonly insertsOnly?: {
    /**
     * `complete`: every row of the source is here, beside others. `not comparable`: rows of the source
     * are not here as they are now, changed or lost. `lost`: there are too few rows here.
     */
    readonly kind: 'complete' | 'not comparable' | 'lost'
    /** Rows of the source that are not here as they are now. */
    readonly unmatched: bigint
    /** Rows here that are not in the source as they came. */
    readonly others: bigint
  }
  /** No longer in the source, and not asked for by name: there is nothing to compare with. */
  readonly isGone?: boolean
  /** No object of its pipeline leads to it any more: it stays as it was. */
  readonly isLeft?: boolean
  /** Rows changed while they were in quarantine: those may be missing although they fit by now. */
  readonly heldBack?: HeldBack & { readonly remedy: string }
  /** Key of its pipeline, which the file does not have any more: nobody keeps the table up to date. */
  readonly withdrawn?: string
  readonly problem?: Problem
}

export interface VerifyReport {
  readonly tables: readonly VerifiedTable[]
}

export interface QueryColumn {
  readonly name: string
  /** SQL type when known: numbers are set to the right. */
  readonly type?: string
}

/** A cell: null, boolean, number, bigint, exact text, bytes, a list or a struct of those. */
export interface QueryResult {
  readonly columns: readonly QueryColumn[]
  readonly rows: readonly (readonly unknown[])[]
}

export interface RefreshOptions {
  /** Destination names as typed; undefined: all. */
  readonly tables: readonly string[] | undefined
  readonly signal: AbortSignal
}

export interface QuickstartOptions {
  /** Of streaming after the initial load has been applied. */
  readonly seconds: number
  readonly signal: AbortSignal
  readonly changesPerSecond: number
  /** Rows of the initial load, about. */
  readonly rows: number
  /** A sentence about what happens now. */
  readonly onStep: (message: string) => void
  /** The gateway and the pipeline have begun; poll it until the next step. */
  readonly onRunning: (running: Running) => void
  readonly onTable: (table: VerifiedTable) => void
}

export interface QuickstartResult {
  readonly wasStopped: boolean
  readonly tableCount: number
  readonly rowsLoaded: number
  readonly loadSeconds: number
  readonly changes: number
  readonly transactions: number
  readonly freshness: { readonly p50Seconds: number; readonly p99Seconds: number } | undefined
  readonly verified: VerifyReport | undefined
  readonly resourceFile: string
  /** What `--data` has to name afterwards. */
  readonly dataFolder: string
  readonly lakeFolder: string
  /** Statements that work afterwards with `query`. */
  readonly queries: readonly string[]
}
