/**
 * Actions as lines of JSON. PROTOCOL.md, "Actions". What we do not know (`cdc`, `sidecar`,
 * `checkpointMetadata`, anything newer) is passed over by name, as the protocol asks; what other
 * writers are known to spell differently is read all the same.
 */
import { SluiceError } from '../base/errors.ts'
import type {
  Action,
  AddFile,
  CommitInfo,
  DeletionVectorDescriptor,
  DomainMetadata,
  Metadata,
  Protocol,
  RemoveFile,
  Txn,
} from './actions.ts'

type Json = Readonly<Record<string, unknown>>

/** One action per line. */
export function formatActions(actions: readonly Action[]): string {
  return actions.map((action) => `${JSON.stringify(action)}\n`).join('')
}

/** `path` is for messages. Throws DELTA_LOG_CORRUPT on a line that is no action. */
export function parseActions(text: string, path: string): Action[] {
  const actions: Action[] = []
  for (const value of parseLines(text, path)) {
    const action = actionOf(value, path)
    if (action !== undefined) actions.push(action)
  }
  return actions
}

/** Every line as an object. */
export function parseLines(text: string, path: string): Json[] {
  const values: Json[] = []
  let number = 0
  for (const line of text.split('\n')) {
    number++
    if (line.trim() === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (error) {
      throw corrupt(path, `line ${number} is not JSON`, error)
    }
    if (!isObject(value)) throw corrupt(path, `line ${number} is not an object`)
    values.push(value)
  }
  return values
}

/** One line or one checkpoint row; undefined when it holds no action that we know. */
export function actionOf(value: Json, path: string): Action | undefined {
  const field = (name: string): Fields | undefined => {
    const body = value[name]
    return isObject(body) ? new Fields(body, `${path}, ${name}`) : undefined
  }
  const add = field('add')
  if (add !== undefined) return { add: addOf(add) }
  const remove = field('remove')
  if (remove !== undefined) return { remove: removeOf(remove) }
  const txn = field('txn')
  if (txn !== undefined) return { txn: txnOf(txn) }
  const metaData = field('metaData')
  if (metaData !== undefined) return { metaData: metadataOf(metaData) }
  const protocol = field('protocol')
  if (protocol !== undefined) return { protocol: protocolOf(protocol) }
  const domain = field('domainMetadata')
  if (domain !== undefined) return { domainMetadata: domainOf(domain) }
  const info = value['commitInfo']
  return isObject(info) ? { commitInfo: info satisfies CommitInfo } : undefined
}

function addOf(fields: Fields): AddFile {
  return compact<AddFile>({
    path: fields.text('path'),
    partitionValues: fields.nullableMap('partitionValues'),
    size: fields.number('size'),
    modificationTime: fields.optionalNumber('modificationTime') ?? 0,
    dataChange: fields.flag('dataChange', true),
    stats: fields.optionalJsonText('stats'),
    tags: fields.optionalMap('tags'),
    deletionVector: vectorOf(fields.nested('deletionVector')),
    baseRowId: fields.optionalNumber('baseRowId'),
    defaultRowCommitVersion: fields.optionalNumber('defaultRowCommitVersion'),
    clusteringProvider: fields.optionalText('clusteringProvider'),
  })
}

function removeOf(fields: Fields): RemoveFile {
  const hasPartitionValues = fields.nested('partitionValues') !== undefined
  return compact<RemoveFile>({
    path: fields.text('path'),
    deletionTimestamp: fields.optionalNumber('deletionTimestamp'),
    dataChange: fields.flag('dataChange', true),
    extendedFileMetadata: fields.optionalFlag('extendedFileMetadata'),
    partitionValues: hasPartitionValues ? fields.nullableMap('partitionValues') : undefined,
    size: fields.optionalNumber('size'),
    stats: fields.optionalJsonText('stats'),
    tags: fields.optionalMap('tags'),
    deletionVector: vectorOf(fields.nested('deletionVector')),
  })
}

function vectorOf(fields: Fields | undefined): DeletionVectorDescriptor | undefined {
  if (fields === undefined) return undefined
  const storageType = fields.text('storageType')
  if (storageType !== 'u' && storageType !== 'i' && storageType !== 'p') {
    throw fields.corrupt(`storageType is "${storageType}"`)
  }
  return compact<DeletionVectorDescriptor>({
    storageType,
    pathOrInlineDv: fields.text('pathOrInlineDv'),
    offset: fields.optionalNumber('offset'),
    sizeInBytes: fields.number('sizeInBytes'),
    cardinality: fields.number('cardinality'),
  })
}

function txnOf(fields: Fields): Txn {
  return compact<Txn>({
    appId: fields.text('appId'),
    version: fields.number('version'),
    lastUpdated: fields.optionalNumber('lastUpdated'),
  })
}

function metadataOf(fields: Fields): Metadata {
  const format = fields.nested('format')
  return compact<Metadata>({
    id: fields.text('id'),
    name: fields.optionalText('name'),
    description: fields.optionalText('description'),
    format: {
      provider: format?.optionalText('provider') ?? 'parquet',
      options: format?.optionalMap('options') ?? {},
    },
    schemaString: fields.optionalText('schemaString') ?? '{"type":"struct","fields":[]}',
    partitionColumns: fields.optionalList('partitionColumns') ?? [],
    configuration: fields.optionalMap('configuration') ?? {},
    createdTime: fields.optionalNumber('createdTime'),
  })
}

function protocolOf(fields: Fields): Protocol {
  return compact<Protocol>({
    minReaderVersion: fields.number('minReaderVersion'),
    minWriterVersion: fields.number('minWriterVersion'),
    readerFeatures: fields.optionalList('readerFeatures'),
    writerFeatures: fields.optionalList('writerFeatures'),
  })
}

function domainOf(fields: Fields): DomainMetadata {
  return {
    domain: fields.text('domain'),
    configuration: fields.optionalText('configuration') ?? '',
    removed: fields.flag('removed', false),
  }
}

/** Reads the fields of one action, naming file and field when one is not what it must be. */
class Fields {
  readonly #body: Json
  readonly #where: string

  constructor(body: Json, where: string) {
    this.#body = body
    this.#where = where
  }

  corrupt(why: string): SluiceError {
    return corrupt(this.#where, why)
  }

  text(name: string): string {
    const value = this.optionalText(name)
    if (value === undefined) throw this.corrupt(`${name} is missing`)
    return value
  }

  number(name: string): number {
    const value = this.optionalNumber(name)
    if (value === undefined) throw this.corrupt(`${name} is missing`)
    return value
  }

  flag(name: string, otherwise: boolean): boolean {
    return this.optionalFlag(name) ?? otherwise
  }

  optionalText(name: string): string | undefined {
    return this.#optional(name, (value) => typeof value === 'string')
  }

  optionalFlag(name: string): boolean | undefined {
    return this.#optional(name, (value) => typeof value === 'boolean')
  }

  optionalNumber(name: string): number | undefined {
    const value = this.#body[name]
    if (typeof value === 'bigint') return Number(value)
    return this.#optional(name, (found) => typeof found === 'number')
  }

  optionalList(name: string): readonly string[] | undefined {
    return this.#optional(
      name,
      (value): value is string[] =>
        Array.isArray(value) && value.every((item) => typeof item === 'string'),
    )
  }

  optionalMap(name: string): Readonly<Record<string, string>> | undefined {
    if (this.nested(name) === undefined) return undefined
    const entries = Object.entries(this.nullableMap(name))
    return Object.fromEntries(entries.map(([key, value]) => [key, value ?? '']))
  }

  nullableMap(name: string): Readonly<Record<string, string | null>> {
    const body = this.#optional(name, isObject) ?? {}
    for (const [key, value] of Object.entries(body)) {
      if (typeof value !== 'string' && value !== null)
        throw this.corrupt(`${name}.${key} is no text`)
    }
    return body as Readonly<Record<string, string | null>>
  }

  nested(name: string): Fields | undefined {
    const body = this.#optional(name, isObject)
    return body === undefined ? undefined : new Fields(body, `${this.#where}.${name}`)
  }

  /** A JSON text; some writers put the object itself here. */
  optionalJsonText(name: string): string | undefined {
    const value = this.#body[name]
    return isObject(value) ? JSON.stringify(value) : this.optionalText(name)
  }

  #optional<T>(name: string, isRight: (value: unknown) => value is T): T | undefined {
    const value = this.#body[name]
    if (value === undefined || value === null) return undefined
    if (!isRight(value)) throw this.corrupt(`${name} is a ${typeof value}`)
    return value
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined }

/** The same object without the members that are undefined. */
function compact<T extends object>(value: Loose<T>): T {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(entries) as T
}

function corrupt(path: string, why: string, cause?: unknown): SluiceError {
  return new SluiceError('DELTA_LOG_CORRUPT', `${path}: ${why}`, { cause })
}
