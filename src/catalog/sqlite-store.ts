/** The catalog in one SQLite file, `sluice.db` of the data folder. Several processes may share it. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { SluiceError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { resolveConnection, type Connection } from './connection.ts'
import type { DestinationRecord } from './destination-record.ts'
import type { GatewayDefinition } from './gateway-definition.ts'
import { formatTableName, type TableName } from './names.ts'
import { nearest } from './nearest.ts'
import type { PipelineDefinition } from './pipeline-definition.ts'
import type { StorageRoot } from './resources.ts'
import { createSealer, type Sealer } from './seal.ts'
import { openSqliteDatabase, type Row, type SqliteDatabase } from './sqlite-database.ts'
import { connectionFromRow, deployResources } from './sqlite-deploy.ts'
import type { CatalogStore, EventRecord, LiveStatus, UpdateRecord, UpdateState } from './store.ts'

export interface SqliteStoreOptions {
  readonly dataFolder: string
  readonly clock: Clock
  /** Make the folder and the file when they are not there; else CATALOG_NOT_FOUND. */
  readonly create: boolean
}

const keptEvents = 10_000

/** Throws CATALOG_NOT_FOUND, CATALOG_DAMAGED, CATALOG_TOO_NEW, CATALOG_BUSY, CATALOG_UNUSABLE. */
export function openSqliteStore(options: SqliteStoreOptions): CatalogStore {
  const file = join(options.dataFolder, 'sluice.db')
  const database = openSqliteDatabase(file, { create: options.create })
  const sealer = createSealer(join(options.dataFolder, 'sluice.key'))
  return {
    ...resourceMethods(database, sealer, file),
    ...destinationMethods(database, file),
    ...historyMethods(database, options.clock),
    close: async () => database.close(),
  }
}

function parseRecord<T>(row: Row, file: string): T {
  try {
    return JSON.parse(String(row['record'])) as T
  } catch (error) {
    throw new SluiceError('CATALOG_DAMAGED', `${file} holds a record that is not JSON`, {
      cause: error,
    })
  }
}

type ResourceMethods = Pick<
  CatalogStore,
  | 'deploy'
  | 'connections'
  | 'gateways'
  | 'pipelines'
  | 'withdrawnPipelines'
  | 'removeGateway'
  | 'removePipeline'
  | 'releases'
  | 'storageRoots'
  | 'openConnection'
>

function resourceMethods(database: SqliteDatabase, sealer: Sealer, file: string): ResourceMethods {
  const records = <T>(table: string, order: string): readonly T[] =>
    database
      .all(`SELECT record FROM ${table} ORDER BY ${order}`)
      .map((row) => parseRecord<T>(row, file))
  const tablesOf = (id: string): readonly string[] =>
    records<DestinationRecord>('destination', 'name')
      .filter(({ pipelineId }) => pipelineId === id)
      .map(({ name }) => formatTableName(name))
  return {
    deploy: async (resources) =>
      database.transaction(() => deployResources(database, sealer, resources)),
    // Without the password: whoever connects asks for it by name.
    connections: async () => records<Connection>('connection', 'name'),
    gateways: async () => records<GatewayDefinition>('gateway', 'rowid'),
    pipelines: async () => records<PipelineDefinition>('pipeline', 'rowid'),
    withdrawnPipelines: async () =>
      new Set(database.all('SELECT id FROM withdrawn_pipeline').map(({ id }) => String(id))),
    removeGateway: async (id) =>
      database.transaction(() => {
        const own = records<PipelineDefinition>('pipeline', 'id').filter(
          ({ gatewayId }) => gatewayId === id,
        )
        // The records of their tables stay, so that these can still be read.
        for (const { id: ownId } of own) releasePipeline(database, ownId, tablesOf(ownId))
        database.run('DELETE FROM live_status WHERE owner = ?', id)
        database.run('DELETE FROM gateway WHERE id = ?', id)
      }),
    removePipeline: async (id) =>
      database.transaction(() => {
        const tables = tablesOf(id)
        releasePipeline(database, id, tables)
        for (const name of tables) {
          database.run('DELETE FROM destination WHERE name = ?', name)
          database.run('DELETE FROM refresh_request WHERE name = ?', name)
        }
      }),
    releases: async () =>
      database.all('SELECT pipeline, name FROM release ORDER BY pipeline, name').map((row) => ({
        pipelineId: String(row['pipeline']),
        destination: row['name'] === '' ? undefined : String(row['name']),
      })),
    storageRoots: async () => records<StorageRoot>('storage_root', 'catalog, schema'),
    openConnection: async (name, env) => {
      const row = database.all('SELECT * FROM connection WHERE name = ?', name)[0]
      if (row === undefined) throw unknownConnection(database, name)
      parseRecord(row, file)
      const password = row['password']
      const connection = connectionFromRow(sealer, {
        record: String(row['record']),
        password: typeof password === 'string' ? password : null,
      })
      return resolveConnection(connection, env)
    },
  }
}

/** Call it inside a transaction. */
function releasePipeline(database: SqliteDatabase, id: string, tables: readonly string[]): void {
  database.run('DELETE FROM pipeline WHERE id = ?', id)
  database.run('DELETE FROM withdrawn_pipeline WHERE id = ?', id)
  database.run('DELETE FROM live_status WHERE owner = ?', id)
  for (const name of ['', ...tables])
    database.run('INSERT OR REPLACE INTO release VALUES (?, ?)', id, name)
}

function unknownConnection(database: SqliteDatabase, name: string): SluiceError {
  const names = database.all('SELECT name FROM connection').map((row) => String(row['name']))
  const guess = nearest(name, names)
  return new SluiceError(
    'CONFIG_UNKNOWN_REFERENCE',
    `the connection "${name}" is not deployed`,
    guess === undefined ? {} : { remedy: `Did you mean "${guess}"?` },
  )
}

type DestinationMethods = Pick<
  CatalogStore,
  | 'saveDestination'
  | 'destinations'
  | 'removeDestination'
  | 'requestRefresh'
  | 'refreshRequests'
  | 'clearRefresh'
>

function destinationMethods(database: SqliteDatabase, file: string): DestinationMethods {
  return {
    saveDestination: async (record) =>
      database.transaction(() => {
        const name = formatTableName(record.name)
        const text = JSON.stringify(record)
        database.run('INSERT OR REPLACE INTO destination VALUES (?, ?)', name, text)
        const { pipelineId } = record
        database.run('DELETE FROM release WHERE pipeline = ? AND name = ?', pipelineId, name)
      }),
    destinations: async () =>
      database
        .all('SELECT record FROM destination ORDER BY name')
        .map((row) => parseRecord<DestinationRecord>(row, file)),
    removeDestination: async (name) =>
      database.run('DELETE FROM destination WHERE name = ?', formatTableName(name)),
    requestRefresh: async (name) =>
      database.run(
        'INSERT OR REPLACE INTO refresh_request VALUES (?, ?)',
        formatTableName(name),
        JSON.stringify(name),
      ),
    refreshRequests: async () =>
      database
        .all('SELECT record FROM refresh_request ORDER BY name')
        .map((row) => parseRecord<TableName>(row, file)),
    clearRefresh: async (name) =>
      database.run('DELETE FROM refresh_request WHERE name = ?', formatTableName(name)),
  }
}

type HistoryMethods = Pick<
  CatalogStore,
  | 'startUpdate'
  | 'endUpdate'
  | 'updates'
  | 'addEvent'
  | 'events'
  | 'saveLiveStatus'
  | 'claimLiveStatus'
  | 'liveStatus'
>

function historyMethods(database: SqliteDatabase, clock: Clock): HistoryMethods {
  return {
    startUpdate: async (ownerId) => {
      const id = randomUUID()
      database.run(
        `INSERT INTO pipeline_update (id, owner, state, started_at_ms) VALUES (?, ?, 'RUNNING', ?)`,
        id,
        ownerId,
        clock.nowMs(),
      )
      return id
    },
    endUpdate: async (updateId, state, error) =>
      database.run(
        `UPDATE pipeline_update SET state = ?, ended_at_ms = ?, error_code = ?, error_message = ?
         WHERE id = ?`,
        state,
        clock.nowMs(),
        error?.code ?? null,
        error?.message ?? null,
        updateId,
      ),
    updates: async (ownerId, limit) =>
      database
        .all(
          'SELECT * FROM pipeline_update WHERE owner = ? ORDER BY number DESC LIMIT ?',
          ownerId,
          limit,
        )
        .map(updateFromRow),
    addEvent: async (event) => {
      database.transaction(() => insertEvent(database, event))
    },
    events: async (ownerId, limit) =>
      database
        .all(
          'SELECT * FROM event WHERE ?1 IS NULL OR owner = ?1 ORDER BY number DESC LIMIT ?2',
          ownerId ?? null,
          limit,
        )
        .map(eventFromRow),
    saveLiveStatus: async (status) => saveLive(database, status),
    claimLiveStatus: async (status, isHeld) =>
      database.transaction(() => {
        const present = liveOf(database, status.ownerId)
        if (present !== undefined && isHeld(present)) return present
        saveLive(database, status)
        return undefined
      }),
    liveStatus: async (ownerId) => liveOf(database, ownerId),
  }
}

function liveOf(database: SqliteDatabase, ownerId: string): LiveStatus | undefined {
  return database.all('SELECT * FROM live_status WHERE owner = ?', ownerId).map(liveFromRow)[0]
}

function saveLive(database: SqliteDatabase, status: LiveStatus): void {
  database.run(
    'INSERT OR REPLACE INTO live_status VALUES (?, ?, ?, ?)',
    status.ownerId,
    status.processId,
    status.atMs,
    status.json,
  )
}

function insertEvent(database: SqliteDatabase, event: EventRecord): void {
  database.run(
    'INSERT INTO event (at_ms, owner, level, table_name, message, code) VALUES (?, ?, ?, ?, ?, ?)',
    event.atMs,
    event.ownerId,
    event.level,
    event.table ?? null,
    event.message,
    event.code ?? null,
  )
  database.run('DELETE FROM event WHERE number <= (SELECT max(number) FROM event) - ?', keptEvents)
}

function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function updateFromRow(row: Row): UpdateRecord {
  const code = optionalText(row['error_code'])
  const ended = row['ended_at_ms']
  return {
    id: String(row['id']),
    ownerId: String(row['owner']),
    state: String(row['state']) as UpdateState,
    startedAtMs: Number(row['started_at_ms']),
    endedAtMs: ended === null || ended === undefined ? undefined : Number(ended),
    error: code === undefined ? undefined : { code, message: String(row['error_message'] ?? '') },
  }
}

function eventFromRow(row: Row): EventRecord {
  return {
    atMs: Number(row['at_ms']),
    ownerId: String(row['owner']),
    level: String(row['level']) as EventRecord['level'],
    table: optionalText(row['table_name']),
    message: String(row['message']),
    code: optionalText(row['code']),
  }
}

function liveFromRow(row: Row): LiveStatus {
  return {
    ownerId: String(row['owner']),
    processId: Number(row['process_id']),
    atMs: Number(row['at_ms']),
    json: String(row['json']),
  }
}
