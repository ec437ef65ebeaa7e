/**
 * A real server, a gateway and one pipeline per kind of destination over the same staging volume,
 * in this process: `follow` brings everything to the present, `expectEqual` compares each
 * destination's idea of the table as it is now with the source.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { noFailpoints } from '../../src/base/failpoint.ts'
import type { ScdType } from '../../src/catalog/pipeline-definition.ts'
import { createParquetEncoder } from '../../src/columnar/parquet/create-encoder.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { currentRowsOf, currentRowsSql } from '../../src/destination/current-rows.ts'
import { liveRowsSql } from '../../src/destination/read-table.ts'
import { type Engine, openEngine } from '../../src/engine/duckdb.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import type { RefreshableGateway } from '../../src/gateway/gateway-options.ts'
import { selectTables, type TableSelection } from '../../src/gateway/select-tables.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createPipeline } from '../../src/pipeline/pipeline.ts'
import type { Pipeline } from '../../src/pipeline/pipeline-status.ts'
import type { PostgresSource } from '../../src/source/postgres/postgres-source.ts'
import { sourceOf } from '../../src/source/postgres/testing/postgres-fixture.ts'
import { openStagingLog, type StagingLog } from '../../src/staging/staging-log.ts'
import { createStagingReader } from '../../src/staging/staging-reader.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import type { ObjectStorage } from '../../src/storage/object-storage.ts'
import { verifyTable } from '../../src/verify/verify-table.ts'
import type { EmbeddedPostgres } from './embedded-postgres.ts'

/** Destination schema of each kind. */
const schemas: Readonly<Record<ScdType, string>> = {
  SCD_TYPE_1: 'now',
  SCD_TYPE_2: 'versions',
  APPEND_ONLY: 'log',
}

let worlds = 0

export class KindsWorld {
  readonly source: PostgresSource
  readonly gateway: RefreshableGateway
  readonly #engine: Engine
  readonly #folder: string
  readonly #lake: ObjectStorage
  readonly #staging: StagingLog
  readonly #selection: TableSelection
  readonly #pipelines: ReadonlyMap<ScdType, Pipeline>

  private constructor(made: {
    readonly source: PostgresSource
    readonly engine: Engine
    readonly folder: string
    readonly staging: StagingLog
    readonly schema: string
    readonly kinds: readonly ScdType[]
  }) {
    const { source, engine, folder, staging, schema, kinds } = made
    this.source = source
    this.#engine = engine
    this.#folder = folder
    this.#staging = staging
    this.#lake = createLocalStorage(join(folder, 'lake'))
    const isAppendOnly = (): boolean => kinds.every((kind) => kind === 'APPEND_ONLY')
    this.#selection = { schemas: [schema], tables: [], isAppendOnly }
    this.gateway = createGateway({ source, staging, tables: this.#selection, log: silentLog })
    this.#pipelines = new Map(
      kinds.map((scdType) => [
        scdType,
        createPipeline({
          pipelineId: schemas[scdType],
          staging: createStagingReader({ storage: createLocalStorage(join(folder, 'staging')) }),
          lake: (name) => ({ storage: this.#lake, root: `${name.schema}/${name.table}` }),
          engine,
          tables: [
            {
              sourceSchema: schema,
              destinationCatalog: 'main',
              destinationSchema: schemas[scdType],
              scdType,
            },
          ],
          clock: systemClock,
          log: silentLog,
          failpoints: noFailpoints,
          productVersion: '0',
        }),
      ]),
    )
  }

  /** Follows all tables of `schema`. */
  static async open(
    server: EmbeddedPostgres,
    schema: string,
    kinds: readonly ScdType[] = ['SCD_TYPE_1', 'SCD_TYPE_2', 'APPEND_ONLY'],
  ): Promise<KindsWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-kinds-'))
    const staging = await openStagingLog({
      storage: createLocalStorage(join(folder, 'staging')),
      writer: 'w',
      createEncoder: createParquetEncoder,
      clock: systemClock,
      log: silentLog,
      failpoints: noFailpoints,
    })
    const source = sourceOf(server, { name: `kinds_${process.pid}_${worlds++}` })
    const engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
    return new KindsWorld({ source, engine, folder, staging, schema, kinds })
  }

  /** Everything up to now is staged and applied; codes of tables that failed, by destination. */
  async follow(): Promise<Record<string, string>> {
    const { signal } = new AbortController()
    const { failedTables } = await this.gateway.run({ mode: 'once', signal })
    const failed: [string, string][] = failedTables.map(({ name, problem }) => [
      `source ${name.table}`,
      problem?.code ?? '',
    ])
    for (const pipeline of this.#pipelines.values()) {
      const { failedTables: tables } = await pipeline.update({ signal })
      failed.push(
        ...tables.map(({ destination, problem }): [string, string] => [
          destination.replace('main.', ''),
          problem?.code ?? '',
        ]),
      )
    }
    return Object.fromEntries(failed)
  }

  /** Rows of `SELECT … FROM rows` over all live rows of a destination. */
  async query(kind: ScdType, table: string, select: string): Promise<unknown[][]> {
    const session = await this.#engine.openSession()
    try {
      const { delta, snapshot } = await this.#snapshotOf(kind, table)
      const live = await liveRowsSql(session, delta, snapshot)
      const rows = await session.rows(`WITH rows AS MATERIALIZED (SELECT * FROM ${live}) ${select}`)
      return rows.map((row) => Object.values(row))
    } finally {
      session.close()
    }
  }

  /** Every destination of `table`, by its own idea of now, is the source. */
  async expectEqual(
    table: string,
    kinds: readonly ScdType[] = [...this.#pipelines.keys()],
  ): Promise<void> {
    const { tables } = await selectTables(this.source, this.#selection)
    const source = tables.find(({ name }) => name.table === table)
    if (source === undefined) throw new Error(`no table ${table}`)
    const verification = await this.source.openVerification([source])
    try {
      for (const kind of kinds) {
        const { delta, snapshot } = await this.#snapshotOf(kind, table)
        const live = await liveRowsSql(this.#engine, delta, snapshot)
        const current = currentRowsOf(snapshot)
        const result = await verifyTable(verification, this.#engine, {
          source,
          destination: `${schemas[kind]}.${table}`,
          relation: currentRowsSql(live, current),
          policy: 'null',
          columns: current.columns.map(({ name }) => name),
        })
        const { destination, sourceRows, destinationRows, differences } = result
        expect({ destination, rows: destinationRows, differences }).toEqual({
          destination,
          rows: sourceRows,
          differences: [],
        })
      }
    } finally {
      await verification.close()
    }
  }

  async close(): Promise<void> {
    await this.source.dispose()
    await this.source.close()
    await this.#staging.close()
    await this.#engine.close()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #snapshotOf(kind: ScdType, table: string) {
    const delta = openDeltaTable({ storage: this.#lake, root: `${schemas[kind]}/${table}` })
    const snapshot = await delta.snapshot()
    if (snapshot === undefined) throw new Error(`no destination ${schemas[kind]}.${table}`)
    return { delta, snapshot }
  }
}
