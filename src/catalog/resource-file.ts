/** A resource file: YAML text in, checked and linked records out, or every error at once. */
import { readFile } from 'node:fs/promises'
import { LineCounter, parseDocument, type Document } from 'yaml'
import { SluiceError } from '../base/errors.ts'
import { ConfigContext } from './config-context.ts'
import { configMap, type ConfigMap } from './config-map.ts'
import type { ConfigProblem } from './config-problem.ts'
import { readConnections } from './resource-connections.ts'
import { linkResources } from './resource-links.ts'
import { readPipelines } from './resource-pipelines.ts'
import { readCatalogs, readSchemas } from './resource-storage.ts'
import type { Resources } from './resources.ts'
import { supportedNow, type Supported } from './supported.ts'
import type { Environment } from './template.ts'

export interface ResourceFileOptions {
  /** For messages. */
  readonly file: string
  readonly env: Environment
  /** Default: what this version does. */
  readonly supported?: Supported
}

/** Problems are in the order of the file. */
export type ResourceFileResult =
  | {
      readonly kind: 'valid'
      readonly resources: Resources
      readonly warnings: readonly ConfigProblem[]
    }
  | { readonly kind: 'invalid'; readonly problems: readonly ConfigProblem[] }

const fileKeys = {
  used: ['resources'],
  ignored: ['bundle', 'workspace'],
  unsupported: {
    include: 'Give one file.',
    targets: 'Use a file per target.',
    variables: 'Use ${env.NAME}.',
    run_as: '',
    permissions: '',
    sync: '',
    artifacts: '',
  },
}

const resourceKeys = {
  used: ['connections', 'pipelines', 'catalogs', 'schemas'],
  unsupported: {
    jobs: 'Start "sluice run FILE --once" from a scheduler, or set "continuous: true".',
    volumes: 'A staging volume is made by the gateway that names it.',
  },
}

/** Throws CONFIG_FILE_NOT_READABLE. */
export async function readResourceFile(
  path: string,
  env: Environment,
): Promise<ResourceFileResult> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new SluiceError('CONFIG_FILE_NOT_READABLE', `cannot read ${path}: ${reason}`, {
      cause: error,
    })
  }
  return parseResourceFile(text, { file: path, env })
}

export function parseResourceFile(text: string, options: ResourceFileOptions): ResourceFileResult {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    version: '1.2',
  })
  const context = new ConfigContext({ file: options.file, env: options.env, document, lines })
  const isReadable = reportSyntax(context, document)
  const resources = isReadable
    ? readDocument(context, document, options.supported ?? supportedNow)
    : undefined
  const problems = context.problems.toSorted((a, b) => a.line - b.line || a.column - b.column)
  if (resources !== undefined && problems.every(({ severity }) => severity === 'warning')) {
    return { kind: 'valid', resources, warnings: problems }
  }
  return { kind: 'invalid', problems }
}

/** False when the tree cannot be trusted. */
function reportSyntax(context: ConfigContext, document: Document): boolean {
  for (const error of document.errors) {
    // The library quotes the text it stumbled over; that could be a password.
    const message = error.message.split(/: ["']/)[0] ?? error.code
    context.error('CONFIG_YAML_SYNTAX', context.placeAt(error.pos[0], ''), { message })
  }
  return document.errors.every(({ code }) => code === 'DUPLICATE_KEY')
}

function readDocument(
  context: ConfigContext,
  document: Document,
  supported: Supported,
): Resources | undefined {
  const root = configMap(context, context.resolve(document.contents), context.placeAt(0, ''))
  if (root === undefined) return undefined
  root.checkKeys(fileKeys)
  if (!root.has('resources')) {
    context.error('CONFIG_MISSING_KEY', root.placeOfKey('resources'), {
      message: 'the file needs the key "resources"',
      remedy: 'See docs/configuration.md for a complete example.',
    })
  }
  const resources = root.map('resources')
  if (resources === undefined) return undefined
  resources.checkKeys(resourceKeys)
  const section = <T>(key: string, read: (map: ConfigMap) => readonly T[]): readonly T[] => {
    const map = resources.map(key)
    return map === undefined ? [] : read(map)
  }
  const connections = section('connections', readConnections)
  const drafts = section('pipelines', (map) => readPipelines(map, supported))
  const storageRoots = [
    ...section('catalogs', (map) => readCatalogs(map, supported)),
    ...section('schemas', (map) => readSchemas(map, supported)),
  ]
  const linked = linkResources(context, {
    connections,
    gateways: drafts.filter((draft) => draft.kind === 'gateway'),
    pipelines: drafts.filter((draft) => draft.kind === 'pipeline'),
  })
  return {
    ...linked,
    connections: connections.flatMap(({ connection }) => connection ?? []),
    storageRoots,
  }
}
