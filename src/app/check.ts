/** `check`: every requirement of every source of a file, met or not; changes nothing. */
import { asSluiceError } from '../base/errors.ts'
import { type ConnectionAddress, resolveConnection } from '../catalog/connection.ts'
import { createFolders } from '../catalog/folders.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import type { Resources } from '../catalog/resources.ts'
import type { CheckReport } from '../cli/app.ts'
import { selectTables, type TableSelection, tableNotFound } from '../gateway/select-tables.ts'
import type { Finding } from '../source/finding.ts'
import { accessScript } from '../source/postgres/access-script.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import type { Context } from './context.ts'
import { type GatewayIdentity, newIdentity, readIdentity } from './gateway-identity.ts'
import { openSource, selectionOf } from './gateway-runtime.ts'
import { spelledOut } from './remedy.ts'
import { unloadableTables } from './unloadable-tables.ts'

export async function checkAll(
  context: Context,
  resources: Resources,
  signal: AbortSignal,
): Promise<readonly CheckReport[]> {
  const reports: CheckReport[] = []
  for (const definition of resources.gateways) {
    if (signal.aborted) break
    const findings = await checkGateway(context, resources, definition)
    reports.push({
      gateway: definition.key,
      findings: findings.map((finding) =>
        finding.remedy === undefined
          ? finding
          : { ...finding, remedy: spelledOut(context, finding.remedy) },
      ),
    })
  }
  return reports
}

function findingOf(error: unknown, subject: string): Finding {
  const { code, message, remedy } = asSluiceError(error)
  return { severity: 'error', code, subject, message, remedy }
}

/** Nothing of a database can be looked at that lets nobody in: what is needed there is told unseen. */
function withScript(finding: Finding, script: string | undefined): Finding {
  const isShut = finding.subject === 'connection' && finding.code === 'SOURCE_PERMISSION_DENIED'
  return isShut && script !== undefined ? { ...finding, remedy: script } : finding
}

function entryScript(
  { options }: ConnectionAddress,
  gateway: {
    readonly definition: GatewayDefinition
    readonly identity: GatewayIdentity
    readonly selection: TableSelection
  },
): string | undefined {
  const { user: role } = options
  const database = gateway.definition.sourceCatalog ?? options['database']
  if (role === undefined || database === undefined) return undefined
  const { schemas, tables } = gateway.selection
  const { publication: publicationName } = gateway.identity
  return accessScript({ role, database, publicationName, schemas, tables })
}

async function checkGateway(
  context: Context,
  resources: Resources,
  definition: GatewayDefinition,
): Promise<readonly Finding[]> {
  const connection = resources.connections.find(({ name }) => name === definition.connectionName)
  if (connection === undefined) return []
  const pipelines = resources.pipelines.filter(({ gatewayId }) => gatewayId === definition.id)
  const folders = createFolders(context.dataFolder, resources.storageRoots)
  const storage = createLocalStorage(folders.volume(definition.staging))
  let source: ReturnType<typeof openSource>
  const selection = selectionOf(pipelines)
  let entry: Finding['remedy']
  let isFirstRun = true
  try {
    const known = await readIdentity(storage)
    isFirstRun = known === undefined
    const identity = known ?? newIdentity(storage, definition)
    const address = resolveConnection(connection, context.env)
    const isSlotUnnamed = isFirstRun && identity.isChosen !== true
    entry = entryScript(address, { definition, identity, selection })
    source = openSource(context, address, { definition, identity, isSlotUnnamed })
  } catch (error) {
    return [findingOf(error, 'connection')]
  }
  try {
    const server = await source.check(undefined)
    const isReachable = !server.some(
      ({ subject, severity }) => subject === 'connection' && severity === 'error',
    )
    if (!isReachable) return server.map((finding) => withScript(finding, entry))
    const { tables, missing } = await selectTables(source, selection)
    const unloadable = unloadableTables(tables, pipelines, { isFirstRun })
    const refused = new Set(unloadable.flatMap(({ table, tables: all }) => all ?? table ?? []))
    return [
      // What is good about a table that is refused all the same would only mislead.
      ...(await source.check(tables)).filter(
        ({ severity, table }) => severity !== 'ok' || table === undefined || !refused.has(table),
      ),
      ...unloadable,
      ...missing.map((table): Finding => ({
        ...findingOf(tableNotFound(table), 'table'),
        table: `${table.schema}.${table.table}`,
      })),
    ]
  } catch (error) {
    return [findingOf(error, 'connection')]
  } finally {
    await source.close()
  }
}
