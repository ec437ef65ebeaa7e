/** `remove`: takes a gateway away, at its source and in the catalog. Loaded tables stay. */
import { randomUUID } from 'node:crypto'
import { asSluiceError, SluiceError } from '../base/errors.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import type { RemoveOptions, RemoveReport } from '../cli/app.ts'
import { createParquetEncoder } from '../columnar/parquet/create-encoder.ts'
import { recordEnd } from '../gateway/recover.ts'
import { removalStatements } from '../source/postgres/removal.ts'
import { openStagingLog } from '../staging/staging-log.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Context } from './context.ts'
import { type GatewayIdentity, readIdentity } from './gateway-identity.ts'
import { assertNotRunning, openSource } from './gateway-runtime.ts'

export async function removeGateway(
  context: Context,
  { gateway: key, isConfirmed, isForgotten }: RemoveOptions,
): Promise<RemoveReport> {
  const gateways = await context.store.gateways()
  const definition = gateways.find((gateway) => gateway.key === key)
  if (definition === undefined) {
    const known = gateways.map((gateway) => gateway.key).join(', ')
    throw new SluiceError(
      'CATALOG_UNKNOWN_GATEWAY',
      `no gateway "${key}" is deployed here; there are ${known || 'none'}`,
    )
  }
  const storage = createLocalStorage((await context.folders()).volume(definition.staging))
  const identity = await readIdentity(storage)
  const statements =
    identity === undefined
      ? []
      : removalStatements({ slotName: identity.slot, publicationName: identity.publication })
  if (!isConfirmed) return { gateway: key, steps: statements, problem: undefined }
  await assertNotRunning(context, definition)
  let steps: readonly string[] = []
  try {
    if (identity !== undefined) steps = await disposeOf(context, definition, identity)
  } catch (error) {
    const { code, message } = asSluiceError(error)
    const remedy = `Run again when the source answers, or run there: ${statements.join(' ')} and then: sluice remove ${key} --yes --forget`
    const problem = { code, message, remedy }
    if (!isForgotten) return { gateway: key, steps, problem }
    steps = [`left what it made at the source: ${statements.join(' ')}`]
  }
  if (identity !== undefined) await endRecord(context, definition, storage)
  await context.store.removeGateway(definition.id)
  return {
    gateway: key,
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
