/** A server, a gateway and a pipeline in one process, for tests that change tables under them. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { noFailpoints } from '../../src/base/failpoint.ts'
import { createParquetEncoder } from '../../src/columnar/parquet/create-encoder.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { columnsOfDeltaSchema } from '../../src/delta/table-schema.ts'
import { liveRowsSql } from '../../src/destination/read-table.ts'
import { openEngine, type Engine } from '../../src/engine/duckdb.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import type { GatewayResult } from '../../src/gateway/gateway-status.ts'
import { silentLog } from '../../src/observe/log.ts'
import type { Pipeline, UpdateResult } from '../../src/pipeline/pipeline-status.ts'
import type { TableSelection } from '../../src/pipeline/table-selection.ts'
import { installScript } from '../../src/source/postgres/ddl-trigger.ts'
import { sourceOf } from '../../src/source/postgres/testing/postgres-fixture.ts'
import type { ManifestEntry } from '../../src/staging/manifest.ts'
import { openStagingLog, type StagingLog } from '../../src/staging/staging-log.ts'
import { readLog } from './read-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import type { ObjectStorage } from '../../src/storage/object-storage.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import { pipelineOver, wholeSchema } from './pipeline-fixtures.ts'
import { readServerTable, sortedRows, type TextRow } from './server-rows.ts'

export interface Shown {
  readonly columns: readonly string[]
  readonly rows: readonly TextRow[]
}

export class DdlWorld {
  readonly server: EmbeddedPostgres
  readonly engine: Engine
  readonly lake: ObjectStorage
  readonly #folder: string
  readonly #staging: ObjectStorage
  readonly schema: string
  readonly #tables: readonly TableSelection[]
  #pipeline: Pipeline | undefined

  private constructor(
    server: EmbeddedPostgres,
    engine: Engine,
    place: { readonly folder: string; readonly schema: string },
    tables: readonly TableSelection[],
  ) {
    this.server = server
    this.engine = engine
    this.#folder = place.folder
    this.schema = place.schema
    this.#tables = tables
    this.#staging = createLocalStorage(join(place.folder, 'staging'))
    this.lake = createLocalStorage(join(place.folder, 'lake'))
  }

  static async server(version?: number): Promise<EmbeddedPostgres> {
    const settings = { fsync: 'off' }
    return await startEmbeddedPostgres({ settings, ...(version === undefined ? {} : { version }) })
  }

  /** The optional event triggers, for all worlds of the server. */
  static async installTriggers(server: EmbeddedPostgres): Promise<void> {
    await server.sql(installScript(server.user))
  }

  /** A schema of its own on `server`, its slot and its publication are named like it. */
  static async open(
    server: EmbeddedPostgres,
    selection: Partial<TableSelection> = {},
  ): Promise<DdlWorld> {
    const schema = `w${randomUUID().slice(0, 8)}`
    await server.sql(`CREATE SCHEMA ${schema}`)
    const folder = await mkdtemp(join(tmpdir(), 'sluice-ddl-'))
    const engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
    const tables = [{ ...wholeSchema, ...selection, sourceSchema: schema }]
    return new DdlWorld(server, engine, { folder, schema }, tables)
  }

  async close(): Promise<void> {
    await this.engine.close()
    await rm(this.#folder, { recursive: true, force: true })
    const { server } = this
    await server.sql(
      `SELECT pg_drop_replication_slot('${this.schema}') FROM pg_replication_slots WHERE slot_name = '${this.schema}'`,
    )
    await server.sql(
      `DROP PUBLICATION IF EXISTS ${this.schema}; DROP SCHEMA ${this.schema} CASCADE`,
    )
  }

  /** Statements in the world's schema, in one session. */
  async sql(text: string): Promise<void> {
    const client = await this.server.connect()
    try {
      await client.query(`SET search_path = ${this.schema}, public`)
      await client.query(text)
    } finally {
      await client.end()
    }
  }

  /** A gateway that runs once, in a process of its own so to speak. */
  async stage(): Promise<GatewayResult> {
    return await this.#withGateway(
      async (gateway) => await gateway.run({ mode: 'once', signal: new AbortController().signal }),
    )
  }

  /** A gateway that runs while `work` does. */
  async staging<T>(
    work: (until: (done: () => Promise<boolean>) => Promise<void>) => Promise<T>,
    watchIntervalMs = 200,
  ): Promise<T> {
    return await this.#withGateway(async (gateway) => {
      const stop = new AbortController()
      const running = gateway.run({ mode: 'continuous', signal: stop.signal })
      try {
        return await work(async (done) => {
          const deadline = Date.now() + 30_000
          while (!(await done())) {
            if (Date.now() > deadline) throw new Error('it did not come')
            await new Promise((resolve) => setTimeout(resolve, 20))
          }
        })
      } finally {
        stop.abort()
        await running
      }
    }, watchIntervalMs)
  }

  async #withGateway<T>(
    work: (gateway: ReturnType<typeof createGateway>) => Promise<T>,
    watchIntervalMs = 60_000,
  ): Promise<T> {
    const spool = { folder: join(this.#folder, 'spool'), maxBytes: 2 ** 28 }
    const source = sourceOf(this.server, { name: this.schema, watchIntervalMs, spool })
    const staging: StagingLog = await openStagingLog({
      storage: this.#staging,
      writer: randomUUID(),
      createEncoder: createParquetEncoder,
      clock: systemClock,
      log: silentLog,
      failpoints: noFailpoints,
    })
    const gateway = createGateway({
      source,
      staging,
      tables: { schemas: [this.schema], tables: [] },
      settings: { discoverIntervalMs: 500, flushIntervalMs: 20 },
      log: silentLog,
    })
    try {
      return await work(gateway)
    } finally {
      await staging.close()
      await source.close()
    }
  }

  get pipeline(): Pipeline {
    this.#pipeline ??= pipelineOver({ staging: this.#staging, lake: this.lake }, this.engine, {
      tables: this.#tables,
    })
    return this.#pipeline
  }

  async apply(): Promise<UpdateResult> {
    for (;;) {
      const result = await this.pipeline.update({ signal: new AbortController().signal })
      if (result.caughtUp) return result
    }
  }

  /** Stages and applies. */
  async sync(): Promise<UpdateResult> {
    await this.stage()
    return await this.apply()
  }

  /** New tables with rows 1 and 2, staged and applied. */
  async follow(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      await this
        .sql(`CREATE TABLE ${name} (id int PRIMARY KEY, a text, b varchar(10), n numeric(10,2));
        INSERT INTO ${name} VALUES (1, 'a1', 'b1', 1.5), (2, 'a2', NULL, -2)`)
    }
    await this.sync()
  }

  /** `sql`, then it is staged and applied, and the table `t` is the source's. */
  async change(sql: string): Promise<void> {
    await this.sql(sql)
    const result = await this.sync()
    expect(result.failedTables).toEqual([])
    await this.expectEqual('t')
  }

  /** Rows and columns are the source's. */
  async expectEqual(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      expect({ name, ...(await this.destination(name)) }).toEqual({
        name,
        ...(await this.source(name)),
      })
    }
  }

  async source(table: string): Promise<Shown> {
    const client = await this.server.connect()
    try {
      await client.query(`SET search_path = ${this.schema}, public`)
      return await readServerTable(client, table)
    } finally {
      await client.end()
    }
  }

  async destination(table: string): Promise<Shown | undefined> {
    return await readDestination(this.engine, this.lake, `main/shop/${table}`)
  }

  /** What staging says of the tables, in order. */
  async entries(kind?: ManifestEntry['kind']): Promise<readonly ManifestEntry[]> {
    const manifests = (await readLog(this.#staging)).manifests
    const all = manifests.flatMap(({ entries }) => entries)
    return kind === undefined ? all : all.filter((entry) => entry.kind === kind)
  }

  /** Of the table that last had the name in staging. */
  async tableId(name: string): Promise<string | undefined> {
    const named = await this.entries('table')
    return named.findLast((entry) => entry.kind === 'table' && entry.source_table === name)
      ?.table_id
  }

  /** How often some table was copied, and how often one was followed without. */
  async counts(): Promise<{ readonly copies: number; readonly steps: number }> {
    const copies = (await this.entries('snapshot_started')).length
    return { copies, steps: (await this.entries('schema_change')).length }
  }
}

/** Columns and rows of a destination as `readServerTable` shows those of a source. */
export async function readDestination(
  engine: Engine,
  lake: ObjectStorage,
  root: string,
): Promise<Shown | undefined> {
  const delta = openDeltaTable({ storage: lake, root })
  const snapshot = await delta.snapshot()
  if (snapshot === undefined) return undefined
  const columns = columnsOfDeltaSchema(snapshot.metadata.schemaString)
  const session = await engine.openSession()
  try {
    const relation = await liveRowsSql(session, delta, snapshot)
    const list = columns.map(({ name, type }, n) => {
      const quoted = `"${name.replaceAll('"', '""')}"`
      const text =
        type.kind === 'timestamp' || type.kind === 'timestamp_ntz'
          ? `strftime(${quoted}, '%Y-%m-%d %H:%M:%S.%f')`
          : `CAST(${quoted} AS VARCHAR)`
      return `${text} AS c${n}`
    })
    const rows = await session.rows(`SELECT ${list.join(', ')} FROM ${relation}`)
    return {
      columns: columns.map(({ name }) => name),
      rows: sortedRows(rows.map((row) => Object.values(row) as (string | null)[])),
    }
  } finally {
    session.close()
  }
}
