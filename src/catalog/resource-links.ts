/** Links the parts of a resource file to one another, and finds what contradicts itself. */
import type { ConfigContext } from './config-context.ts'
import type { ConfigProblem, Place } from './config-problem.ts'
import type { Connection } from './connection.ts'
import type { GatewayDefinition } from './gateway-definition.ts'
import { foldName, formatTableName } from './names.ts'
import { nearest } from './nearest.ts'
import type { PipelineDefinition } from './pipeline-definition.ts'
import type { ConnectionDraft } from './resource-connections.ts'
import type { ObjectDraft } from './resource-objects.ts'
import type { GatewayDraft, PipelineDraft } from './resource-pipelines.ts'
import { linkSourceNames } from './resource-source-names.ts'
import { resourceId } from './resources.ts'
import { expandTemplate, parseTemplate } from './template.ts'

export interface Drafts {
  readonly connections: readonly ConnectionDraft[]
  readonly gateways: readonly GatewayDraft[]
  readonly pipelines: readonly PipelineDraft[]
}

export interface Linked {
  readonly gateways: readonly GatewayDefinition[]
  readonly pipelines: readonly PipelineDefinition[]
}

/** What could be linked; the result counts only when the context holds no error. */
export function linkResources(context: ConfigContext, drafts: Drafts): Linked {
  reportDuplicateConnections(context, drafts.connections)
  reportSharedVolumes(context, drafts.gateways)
  reportDuplicateDestinations(context, drafts.pipelines)
  const gatewayOf = new Map<PipelineDraft, GatewayDraft>()
  for (const pipeline of drafts.pipelines) {
    const gateway = linkGateway(context, pipeline, drafts)
    if (gateway !== undefined) gatewayOf.set(pipeline, gateway)
  }
  const gateways = drafts.gateways.flatMap((draft) => {
    const users = drafts.pipelines.filter((pipeline) => gatewayOf.get(pipeline) === draft)
    const connection = linkConnection(context, draft, drafts.connections)
    const sourceCatalog = linkSourceCatalog(context, { draft, users, connection })
    const names = linkSourceNames(users, { key: draft.key, sourceCatalog }, (place, problem) =>
      context.error('CONFIG_INVALID_VALUE', place, problem),
    )
    if (draft.staging === undefined || draft.connectionName === undefined) return []
    return [
      {
        id: resourceId(draft.key),
        key: draft.key,
        name: draft.name,
        connectionName: draft.connectionName,
        staging: draft.staging,
        sourceCatalog,
        settings: draft.settings,
        ...(names === undefined ? {} : { sourceNames: names }),
      },
    ]
  })
  const pipelines = drafts.pipelines.flatMap((draft) => {
    const gateway = gatewayOf.get(draft)
    return gateway === undefined ? [] : [definitionOf(draft, gateway, gateways)]
  })
  return { gateways, pipelines }
}

function definitionOf(
  draft: PipelineDraft,
  gateway: GatewayDraft,
  gateways: readonly GatewayDefinition[],
): PipelineDefinition {
  const gatewayId = resourceId(gateway.key)
  const sourceCatalog = gateways.find(({ id }) => id === gatewayId)?.sourceCatalog
  return {
    id: resourceId(draft.key),
    key: draft.key,
    name: draft.name,
    continuous: draft.continuous,
    gatewayId,
    objects: draft.objects.map(({ object }) => ({
      ...object,
      sourceCatalog: object.sourceCatalog ?? sourceCatalog,
    })),
    settings: draft.settings,
  }
}

function linkConnection(
  context: ConfigContext,
  gateway: GatewayDraft,
  connections: readonly ConnectionDraft[],
): Connection | undefined {
  if (gateway.connectionName === undefined) return undefined
  const draft = connections.find(({ name }) => name === gateway.connectionName)
  if (draft !== undefined) return draft.connection
  reportDangling(context, gateway.connectionPlace, {
    what: `the connection "${gateway.connectionName}"`,
    guess: nearest(
      gateway.connectionName,
      connections.map(({ name }) => name),
    ),
    remedy: 'Declare it under resources.connections.',
  })
  return undefined
}

const gatewayReference = /^resources\.pipelines\.([^.]+)\.id$/

function linkGateway(
  context: ConfigContext,
  pipeline: PipelineDraft,
  drafts: Drafts,
): GatewayDraft | undefined {
  const text = pipeline.gatewayReference
  if (text === undefined) return undefined
  const [part, ...more] = parseTemplate(text)
  const path = part?.kind === 'reference' && more.length === 0 ? part.path : undefined
  const key = gatewayReference.exec(path ?? '')?.[1]
  const keys = drafts.gateways.map((gateway) => gateway.key)
  const example = `\${resources.pipelines.${keys[0] ?? 'my_gateway'}.id}`
  if (key === undefined) {
    context.error('CONFIG_UNKNOWN_REFERENCE', pipeline.gatewayPlace, {
      message: `${pipeline.gatewayPlace.path} is "${text}", which does not refer to a gateway of this file`,
      remedy: `Write ${example}.`,
    })
    return undefined
  }
  const found = drafts.gateways.find((gateway) => gateway.key === key)
  if (found !== undefined) return found
  if (drafts.pipelines.some((other) => other.key === key)) {
    context.error('CONFIG_UNKNOWN_REFERENCE', pipeline.gatewayPlace, {
      message: `${pipeline.gatewayPlace.path} refers to "${key}", which is an ingestion pipeline and not a gateway`,
      remedy: `Write ${example}.`,
    })
    return undefined
  }
  reportDangling(context, pipeline.gatewayPlace, {
    what: `the gateway "${key}"`,
    guess: nearest(key, keys),
    remedy: 'Declare it under resources.pipelines with a gateway_definition.',
  })
  return undefined
}

function reportDangling(
  context: ConfigContext,
  place: Place,
  target: { readonly what: string; readonly guess: string | undefined; readonly remedy: string },
): void {
  context.error('CONFIG_UNKNOWN_REFERENCE', place, {
    message: `${place.path} refers to ${target.what}, which is not in this file`,
    remedy: target.guess === undefined ? target.remedy : `Did you mean "${target.guess}"?`,
  })
}

/** The one database of a gateway: a replication slot reads no other. */
function linkSourceCatalog(
  context: ConfigContext,
  gateway: {
    readonly draft: GatewayDraft
    readonly users: readonly PipelineDraft[]
    readonly connection: Connection | undefined
  },
): string | undefined {
  const { draft, users, connection } = gateway
  if (users.length === 0) {
    context.warning('CONFIG_UNKNOWN_REFERENCE', draft.place, {
      message: `no pipeline uses the gateway "${draft.key}"; it will stage nothing`,
      remedy: `Set ingestion_gateway_id: \${resources.pipelines.${draft.key}.id} in a pipeline.`,
    })
  }
  const template = connection?.options.database
  const fallback = template === undefined ? undefined : expandTemplate(template, context.env)
  let first: { readonly catalog: string; readonly place: Place } | undefined
  for (const { object, sourceCatalogPlace } of users.flatMap((user) => user.objects)) {
    const catalog = object.sourceCatalog ?? fallback
    if (catalog === undefined) {
      // An unusable connection is reported already, and might have named the database.
      if (connection !== undefined) reportNoDatabase(context, sourceCatalogPlace)
    } else if (first === undefined) first = { catalog, place: sourceCatalogPlace }
    else if (first.catalog !== catalog) {
      context.error('CONFIG_SOURCE_CATALOG_MIXED', sourceCatalogPlace, {
        message: `source_catalog is "${catalog}" here and "${first.catalog}" in line ${first.place.line}, but both objects use the gateway "${draft.key}"`,
      })
    }
  }
  return first?.catalog ?? fallback
}

function reportNoDatabase(context: ConfigContext, place: Place): void {
  context.error('CONFIG_MISSING_KEY', place, {
    message: `${place.path} is missing and the connection has no options.database`,
    remedy: 'Add "source_catalog: DATABASE", or "database" to the options of the connection.',
  })
}

function reportDuplicateConnections(
  context: ConfigContext,
  connections: readonly ConnectionDraft[],
): void {
  const named = connections.map(({ name, place }) => {
    return { key: foldName(name), what: `connection "${name}"`, place }
  })
  reportDuplicates(context, 'CONFIG_DUPLICATE_RESOURCE', named)
}

function reportSharedVolumes(context: ConfigContext, gateways: readonly GatewayDraft[]): void {
  const volumes = gateways.flatMap(({ staging, place }) => {
    if (staging === undefined) return []
    const key = `${staging.catalog}.${staging.schema}.${staging.volume}`
    return [{ key, what: `staging volume ${key}`, place }]
  })
  reportDuplicates(context, 'CONFIG_DUPLICATE_RESOURCE', volumes)
}

function reportDuplicateDestinations(
  context: ConfigContext,
  pipelines: readonly PipelineDraft[],
): void {
  const drafts = pipelines.flatMap((pipeline) =>
    pipeline.objects.map((draft) => ({ draft, pipeline: pipeline.key })),
  )
  reportDuplicates(
    context,
    'CONFIG_DUPLICATE_DESTINATION',
    drafts.map(({ draft, pipeline }) => destinationOf(draft, pipeline)),
  )
}

function destinationOf(
  draft: ObjectDraft,
  pipeline: string,
): { readonly key: string; readonly what: string; readonly place: Place } {
  const { object, destinationPlace: place } = draft
  const { destinationCatalog: catalog, destinationSchema: schema } = object
  if (object.kind === 'schema') {
    // Two source schemas may share a destination as long as no two tables meet; that shows later.
    const source = `${object.sourceCatalog ?? ''}.${object.sourceSchema}`
    return {
      key: JSON.stringify([source, catalog, schema]),
      what: `every table of ${object.sourceSchema} in ${catalog}.${schema} (pipeline ${pipeline})`,
      place,
    }
  }
  const table = object.destinationTable ?? foldName(object.sourceTable)
  const name = formatTableName({ catalog, schema, table })
  return { key: name, what: `destination table ${name}`, place }
}

function reportDuplicates(
  context: ConfigContext,
  code: Extract<ConfigProblem['code'], `CONFIG_DUPLICATE_${string}`>,
  items: readonly { readonly key: string; readonly what: string; readonly place: Place }[],
): void {
  const seen = new Map<string, Place>()
  for (const { key, what, place } of items) {
    const before = seen.get(key)
    if (before === undefined) seen.set(key, place)
    else {
      context.error(code, place, {
        message: `${what} is declared twice, first in line ${before.line}`,
      })
    }
  }
}
