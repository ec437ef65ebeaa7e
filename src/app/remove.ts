/**
 * `remove`: takes a gateway away, at its source and in the catalog, or a pipeline, in the catalog.
 * Loaded tables stay.
 */
import { randomUUID } from 'node:crypto'
import { asSluiceError, SluiceError } from '../base/errors.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import type { RemoveOptions, RemoveReport } from '../cli/app.ts'
import { createParquetEncoder } from '../columnar/parquet/create-encoder.ts'
import { recordEnd } from '../gateway/recover.ts'
import { removalStatements } from '../source/postgres/removal.ts'
import { openStagingLog } from '../staging/staging-log.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { assertNotRunning } from './claim-gateways.ts'
import type { Context } from './context.ts'
import { type GatewayIdentity, readIdentity } from './gateway-identity.ts'
import { openSource } from './gateway-runtime.ts'

export async function removeDeployed(
  context: Context,
  options: RemoveOptions,
): Promise<RemoveReport> {
  const { key } = options
  const gateways = await context.store.gateways()
  const definition = gateways.find((gateway) => gateway.key === key)
  if (definition !== undefined) return await removeGateway(context, definition, options)
  const pipelines = await context.store.pipelines()
  const pipeline = pipelines.find((one) => one.key === key)
  if (pipeline !== undefined) {
    const gateway = gateways.find(({ id }) => id === pipeline.gatewayId)
    return await removePipeline(context, { pipeline, gateway }, options)
  }
  const named = (what: string, of: readonly { readonly key: string }[]): string =>
    of.length === 0 ? `no ${what}s` : `the ${what}s ${of.map((one) => one.key).join(', ')}`
  throw new SluiceError(
    'CATALOG_UNKNOWN_GATEWAY',
    `no gateway or pipeline "${key}" is deployed here; there are ${named('gateway', gateways)} and ${named('pipeline', pipelines)}`,
  )
}

/** Nothing of it is at the source: what its gateway follows for it alone ends with the next run. */
async function removePipeline(
  context: Context,
  of: { readonly pipeline: PipelineDefinition; readonly gateway: GatewayDefinition | undefined },
  { isConfirmed }: RemoveOptions,
): Promise<RemoveReport> {
  const { key, id } = of.pipeline
  const own = (await context.store.destinations()).filter(({ pipelineId }) => pipelineId === id)
  const tables = own.map(({ name }) => formatTableName(name)).join(', ') || 'no tables'
  if (!isConfirmed) {
    const steps = [`it would forget pipeline ${key}, which has ${tables}`]
    return { resource: 'pipeline', steps, problem: undefined }
  }
  if (of.gateway !== undefined) await assertNotRunning(context, of.gateway)
  await context.store.removePipeline(id)
  const text = `forgot pipeline ${key}; its tables stay as they are, and another pipeline may take them over: ${tables}`
  return { resource: 'pipeline', steps: [text], problem: undefined }
}

async function removeGateway(
  context: Context,
  definition: GatewayDefinition,
  { key, isConfirmed, isForgotten }: RemoveOptions,
): Promise<RemoveReport> {
  const storage = createLocalStorage((await context.folders()).volume(definition.staging))
  const identity = await readIdentity(storage)
  const statements =
    identity === undefined
      ? []
      : removalStatements({ slotName: identity.slot, publicationName: identity.publication })
  if (!isConfirmed) return { resource: 'gateway', steps: statements, problem: undefined }
  await assertNotRunning(context, definition)
  let steps: readonly string[] = []
  try {
    if (identity !== undefined) steps = await disposeOf(context, definition, identity)
  } catch (error) {
    const { code, message } = asSluiceError(error)
    const remedy = `Run again when the source answers, or run there: ${statements.join(' ')} and then: sluice remove ${key} --yes --forget`
    const problem = { code, message, remedy }
    if (!isForgotten) return { resource: 'gateway', steps, problem }
    steps = [`left what it made at the source: ${statements.join(' ')}`]
  }
  context.failpoints.hit('gateway.removed-at-source')
  if (identity !== undefined) await endRecord(context, definition, storage)
  context.failpoints.hit('gateway.removal-recorded')
  await context.store.removeGateway(definition.id)
  return {
    resource: 'gateway',
    steps: [
      ...steps,
      `forgot gateway ${key} and its pipelines; their tables stay; a later run copies them anew`,
    ],
    problem: undefined,
  }
}

/** A later run on the same volume finds no log to go on from, and is to know why. */
async function endRecord(
  context: Context,
  definition: GatewayDefinition,
  storage: ObjectStorage,
): Promise<void> {
  const { clock, failpoints } = context
  const log = context.log.child({ gateway: definition.key })
  const writing = { storage, writer: randomUUID(), createEncoder: createParquetEncoder }
  try {
    const staging = await openStagingLog({ ...writing, clock, log, failpoints })
    try {
      await recordEnd(staging, 'the gateway was removed')
    } finally {
      await staging.close()
    }
  } catch (error) {
    const { code, message } = asSluiceError(error)
    log.warn(`the staging log does not say that the gateway was removed: ${message}`, { code })
  }
}

async function disposeOf(
  context: Context,
  definition: GatewayDefinition,
  identity: GatewayIdentity,
): Promise<readonly string[]> {
  const address = await context.store.openConnection(definition.connectionName, context.env)
  const source = openSource(context, address, { definition, identity })
  try {
    return await source.dispose()
  } finally {
    await source.close()
  }
}
