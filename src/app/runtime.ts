/** Gateways and pipelines of some resources, opened together. */
import { SluiceError } from '../base/errors.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import type { Engine } from '../engine/duckdb.ts'
import type { Context } from './context.ts'
import { type GatewayRuntime, openGatewayRuntime } from './gateway-runtime.ts'
import { createPipelineRuntime, type PipelineRuntime } from './pipeline-runtime.ts'

/** A gateway and the pipelines that read from it. */
export interface Lane {
  readonly gateway: GatewayRuntime
  readonly pipelines: readonly PipelineRuntime[]
}

export interface Runtime {
  readonly lanes: readonly Lane[]
  readonly engine: Engine
  close(): Promise<void>
}

export interface RuntimeDefinitions {
  readonly gateways: readonly GatewayDefinition[]
  readonly pipelines: readonly PipelineDefinition[]
}

/** Opens in order; what was opened is closed again when a later part cannot be. */
export async function openRuntime(
  context: Context,
  definitions: RuntimeDefinitions,
  options: { readonly isSalvage?: boolean } = {},
): Promise<Runtime> {
  const engine = await context.openEngine()
  const lanes: Lane[] = []
  const close = async (): Promise<void> => {
    for (const { gateway } of lanes) await gateway.close()
    await engine.close()
  }
  try {
    for (const definition of definitions.gateways) {
      const pipelines = definitions.pipelines.filter(({ gatewayId }) => gatewayId === definition.id)
      const address = await context.store.openConnection(definition.connectionName, context.env)
      const gateway = await openGatewayRuntime(context, definition, {
        address,
        pipelines,
        ...options,
      })
      const { storage, news } = gateway
      const opened: PipelineRuntime[] = []
      lanes.push({ gateway, pipelines: opened })
      for (const pipeline of pipelines) {
        opened.push(await createPipelineRuntime(context, pipeline, { storage, engine, news }))
      }
    }
  } catch (error) {
    await close()
    throw error
  }
  return { lanes, engine, close }
}

/** Everything deployed, or PIPELINE_NOTHING_DEPLOYED. */
export async function deployedDefinitions(context: Context): Promise<RuntimeDefinitions> {
  const [gateways, pipelines] = await Promise.all([
    context.store.gateways(),
    context.store.pipelines(),
  ])
  if (gateways.length === 0) {
    throw new SluiceError('CATALOG_NOTHING_DEPLOYED', 'no gateway is deployed in this data folder')
  }
  return { gateways, pipelines }
}
