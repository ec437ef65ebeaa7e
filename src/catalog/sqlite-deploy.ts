/** Deployment into the SQLite catalog: what is new, what changes, what must not. */
import { SluiceError } from '../base/errors.ts'
import { optionTemplates, type Connection } from './connection.ts'
import type { GatewayDefinition } from './gateway-definition.ts'
import type { PipelineDefinition } from './pipeline-definition.ts'
import type { Resources } from './resources.ts'
import type { Sealer } from './seal.ts'
import { Secret } from './secret.ts'
import type { Row, SqliteDatabase } from './sqlite-database.ts'
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
    database.run('DELETE FROM withdrawn_pipeline WHERE id = ?', pipeline.id)
    database.run("DELETE FROM release WHERE pipeline = ? AND name = ''", pipeline.id)
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
  return [...changes, ...undeclared(database, resources)]
}

/** Gateways that are not in `resources`, and pipelines that are not although their gateway is. */
function undeclared(database: SqliteDatabase, resources: Resources): readonly DeploymentChange[] {
  const changes: DeploymentChange[] = []
  const gateways = new Set(resources.gateways.map(({ id }) => id))
  for (const row of database.all('SELECT id, record FROM gateway ORDER BY id')) {
    if (gateways.has(String(row['id']))) continue
    const { key } = JSON.parse(String(row['record'])) as GatewayDefinition
    changes.push({ kind: 'undeclared', resource: 'gateway', key })
  }
  const pipelines = new Set(resources.pipelines.map(({ id }) => id))
  for (const row of database.all('SELECT id, record FROM pipeline ORDER BY id')) {
    const id = String(row['id'])
    const { key, gatewayId } = JSON.parse(String(row['record'])) as PipelineDefinition
    // What is said of its gateway is said of it too.
    if (pipelines.has(id) || !gateways.has(gatewayId)) continue
    database.run('INSERT OR REPLACE INTO withdrawn_pipeline VALUES (?)', id)
    changes.push({ kind: 'undeclared', resource: 'pipeline', key })
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
    ['slot_name', nameOf(before, 'slot'), nameOf(after, 'slot')],
    ['publication_name', nameOf(before, 'publication'), nameOf(after, 'publication')],
    ['source_catalog', before.sourceCatalog, after.sourceCatalog ?? before.sourceCatalog],
  ] as const
  for (const [field, from, to] of fields) {
    if (from !== undefined && from !== to) throw immutable(after.key, field, from, to ?? 'nothing')
  }
}

function nameOf({ sourceNames }: GatewayDefinition, which: 'slot' | 'publication'): string {
  return sourceNames?.[which] ?? 'a name of its own'
}

function immutable(key: string, field: string, from: string, to: string): SluiceError {
  return new SluiceError(
    'CONFIG_IMMUTABLE_FIELD',
    `resources.pipelines.${key} is deployed with ${field} "${from}"; it cannot become "${to}"`,
  )
}

/** What the record keeps of secrets other than the password: each sealed, or a reference. */
interface StoredConnection extends Connection {
  readonly secrets?: Readonly<Record<string, string>>
}

function saveConnection(
  database: SqliteDatabase,
  sealer: Sealer,
  connection: Connection,
): DeploymentChange['kind'] {
  const row = database.all('SELECT * FROM connection WHERE name = ?', connection.name)[0]
  if (row !== undefined && isSame(sealer, connection, row)) return 'unchanged'
  const { password, sslkey, sslpassword, ...options } = connection.options
  const secrets = Object.entries({ sslkey, sslpassword }).flatMap(([option, secret]) =>
    secret === undefined ? [] : [[option, storedSecret(sealer, { connection, option, secret })]],
  )
  const record = { ...connection, options, secrets: Object.fromEntries(secrets) as unknown }
  database.run(
    'INSERT OR REPLACE INTO connection VALUES (?, ?, ?)',
    connection.name,
    JSON.stringify(record),
    password === undefined
      ? null
      : storedSecret(sealer, { connection, option: 'password', secret: password }),
  )
  return row === undefined ? 'created' : 'updated'
}

function sealContext(name: string, option: string): string {
  return `connection ${name} ${option}`
}

/** A pure reference is no secret and stays readable; everything else is sealed. */
function storedSecret(
  sealer: Sealer,
  of: { readonly connection: Connection; readonly option: string; readonly secret: Secret },
): string {
  const text = of.secret.reveal()
  const parts = parseTemplate(text)
  const isReference = parts.length === 1 && parts[0]?.kind === 'env'
  if (isReference) return `reference:${text}`
  return sealer.seal(of.secret, sealContext(of.connection.name, of.option))
}

function openSecret(sealer: Sealer, name: string, option: string, text: string): Secret {
  if (text.startsWith('reference:')) return new Secret(text.slice('reference:'.length))
  return sealer.open(text, sealContext(name, option))
}

/** Sealing the same text twice gives different bytes, so the open texts are compared. */
function isSame(sealer: Sealer, connection: Connection, row: Row): boolean {
  const shown = ({ options, ...rest }: Connection): string =>
    JSON.stringify([rest, [...optionTemplates(options)].toSorted(([a], [b]) => (a < b ? -1 : 1))])
  try {
    const password = row['password']
    const before = connectionFromRow(sealer, {
      record: String(row['record']),
      password: typeof password === 'string' ? password : null,
    })
    return shown(before) === shown(connection)
  } catch {
    // Unreadable: to be sealed anew.
    return false
  }
}

/** The connection of a row, with its secrets opened. Throws CATALOG_SECRET_UNREADABLE. */
export function connectionFromRow(
  sealer: Sealer,
  row: { readonly record: string; readonly password: string | null },
): Connection {
  const { secrets = {}, ...connection } = JSON.parse(row.record) as StoredConnection
  const { name } = connection
  const stored = { ...secrets, ...(row.password === null ? {} : { password: row.password }) }
  const opened = Object.entries(stored).map(
    ([option, text]) => [option, openSecret(sealer, name, option, text)] as const,
  )
  return { ...connection, options: { ...connection.options, ...Object.fromEntries(opened) } }
}
