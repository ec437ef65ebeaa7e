/** Deployment into the SQLite catalog: what is new, what changes, what must not. */
import { SluiceError } from '../base/errors.ts'
import { optionTemplates, type Connection } from './connection.ts'
import type { GatewayDefinition } from './gateway-definition.ts'
import type { PipelineDefinition } from './pipeline-definition.ts'
import type { Resources } from './resources.ts'
import type { Sealer } from './seal.ts'
import { Secret } from './secret.ts'
import type { SqliteDatabase } from './sqlite-database.ts'
import type { DeploymentChange } from './store.ts'
import { parseTemplate } from './template.ts'

/** Call it inside a transaction. */
export function deployResources(
  database: SqliteDatabase,
  sealer: Sealer,
  resources: Resources,
): readonly DeploymentChange[] {
  const changes: DeploymentChange[] = []
  for (const connection of resources.connections) {
    changes.push({
      kind: saveConnection(database, sealer, connection),
      resource: 'connection',
      key: connection.name,
    })
  }
  for (const gateway of resources.gateways) {
    refuseOtherKind(database, 'pipeline', gateway)
    const before = stored<GatewayDefinition>(database, 'gateway', gateway.id)
    if (before !== undefined) refuseGatewayChange(before, gateway)
    const kind = saveRecord(database, 'gateway', gateway)
    changes.push({ kind, resource: 'gateway', key: gateway.key })
  }
  for (const pipeline of resources.pipelines) {
    refuseOtherKind(database, 'gateway', pipeline)
    const before = stored<PipelineDefinition>(database, 'pipeline', pipeline.id)
    if (before !== undefined && before.gatewayId !== pipeline.gatewayId) {
      throw immutable(pipeline.key, 'ingestion_gateway_id', before.gatewayId, pipeline.gatewayId)
    }
    const kind = saveRecord(database, 'pipeline', pipeline)
    changes.push({ kind, resource: 'pipeline', key: pipeline.key })
  }
  for (const root of resources.storageRoots) {
    database.run(
      'INSERT OR REPLACE INTO storage_root VALUES (?, ?, ?)',
      root.catalog,
      root.schema ?? '',
      JSON.stringify(root),
    )
  }
  return changes
}

function stored<T>(database: SqliteDatabase, table: string, id: string): T | undefined {
  const record = database.all(`SELECT record FROM ${table} WHERE id = ?`, id)[0]?.['record']
  return record === undefined ? undefined : (JSON.parse(String(record)) as T)
}

function saveRecord(
  database: SqliteDatabase,
  table: 'gateway' | 'pipeline',
  record: { readonly id: string },
): DeploymentChange['kind'] {
  const text = JSON.stringify(record)
  const before = database.all(`SELECT record FROM ${table} WHERE id = ?`, record.id)[0]
  if (before?.['record'] === text) return 'unchanged'
  database.run(`INSERT OR REPLACE INTO ${table} VALUES (?, ?)`, record.id, text)
  return before === undefined ? 'created' : 'updated'
}

function refuseOtherKind(
  database: SqliteDatabase,
  table: 'gateway' | 'pipeline',
  record: { readonly id: string; readonly key: string },
): void {
  if (database.all(`SELECT 1 FROM ${table} WHERE id = ?`, record.id).length === 0) return
  const other = table === 'gateway' ? 'ingestion_definition' : 'gateway_definition'
  throw immutable(record.key, 'its kind', `a ${table}`, other)
}

function refuseGatewayChange(before: GatewayDefinition, after: GatewayDefinition): void {
  const fields = [
    ['connection_name', before.connectionName, after.connectionName],
    ['gateway_storage_catalog', before.staging.catalog, after.staging.catalog],
    ['gateway_storage_schema', before.staging.schema, after.staging.schema],
    ['gateway_storage_name', before.staging.volume, after.staging.volume],
    ['source_catalog', before.sourceCatalog, after.sourceCatalog ?? before.sourceCatalog],
  ] as const
  for (const [field, from, to] of fields) {
    if (from !== undefined && from !== to) throw immutable(after.key, field, from, to ?? 'nothing')
  }
}

function immutable(key: string, field: string, from: string, to: string): SluiceError {
  return new SluiceError(
    'CONFIG_IMMUTABLE_FIELD',
    `resources.pipelines.${key} is deployed with ${field} "${from}"; it cannot become "${to}"`,
  )
}

function saveConnection(
  database: SqliteDatabase,
  sealer: Sealer,
  connection: Connection,
): DeploymentChange['kind'] {
  const { password, ...options } = connection.options
  const record = JSON.stringify({ ...connection, options })
  const row = database.all('SELECT * FROM connection WHERE name = ?', connection.name)[0]
  const before = row?.['password'] ?? null
  if (row?.['record'] === record && isSamePassword(sealer, connection, before)) return 'unchanged'
  database.run(
    'INSERT OR REPLACE INTO connection VALUES (?, ?, ?)',
    connection.name,
    record,
    password === undefined ? null : storedPassword(sealer, connection.name, password),
  )
  return row === undefined ? 'created' : 'updated'
}

function sealContext(name: string): string {
  return `connection ${name} password`
}

/** A pure reference is no secret and stays readable; everything else is sealed. */
function storedPassword(sealer: Sealer, name: string, password: Secret): string {
  const parts = parseTemplate(password.reveal())
  const isReference = parts.length === 1 && parts[0]?.kind === 'env'
  if (isReference) return `reference:${password.reveal()}`
  return sealer.seal(password, sealContext(name))
}

function openPassword(sealer: Sealer, name: string, text: string): Secret {
  if (text.startsWith('reference:')) return new Secret(text.slice('reference:'.length))
  return sealer.open(text, sealContext(name))
}

/** Sealing the same text twice gives different bytes, so the open texts are compared. */
function isSamePassword(sealer: Sealer, connection: Connection, before: unknown): boolean {
  const wanted = optionTemplates(connection.options).get('password')
  if (typeof before !== 'string') return wanted === undefined
  try {
    return openPassword(sealer, connection.name, before).reveal() === wanted
  } catch {
    // Unreadable: to be sealed anew.
    return false
  }
}

/** The connection of a row, with its password opened. Throws CATALOG_SECRET_UNREADABLE. */
export function connectionFromRow(
  sealer: Sealer,
  row: { readonly record: string; readonly password: string | null },
): Connection {
  const connection = JSON.parse(row.record) as Connection
  if (row.password === null) return connection
  const password = openPassword(sealer, connection.name, row.password)
  return { ...connection, options: { ...connection.options, password } }
}
