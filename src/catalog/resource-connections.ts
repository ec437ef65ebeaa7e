/** `resources.connections` of a resource file. */
import { misplacedSecret, shownOptionRemedies } from '../base/misplaced-secret.ts'
import type { ConfigMap } from './config-map.ts'
import type { Place } from './config-problem.ts'
import {
  arePorts,
  connectionTypes,
  laterConnectionTypes,
  passwordOptions,
  postgresOptions,
  secretOptions,
  type Connection,
  type ConnectionOptions,
  type OptionDefinition,
} from './connection.ts'
import { nameProblem } from './names.ts'
import { Secret } from './secret.ts'
import { expandTemplate } from './template.ts'

export interface ConnectionDraft {
  readonly name: string
  readonly place: Place
  /** undefined when something in it is wrong and was reported. */
  readonly connection: Connection | undefined
}

const connectionKeys = {
  used: ['connection_type', 'options', 'name', 'comment'],
  ignored: ['properties', 'read_only', 'owner'],
}

const optionKeys = {
  used: Object.keys(postgresOptions),
  unsupported: {
    trustServerCertificate: 'Use "sslmode: require" for TLS without proof of the certificate.',
  },
}

export function readConnections(section: ConfigMap): readonly ConnectionDraft[] {
  return section.maps().map(([key, map]) => readConnection(key, map))
}

function readConnection(key: string, map: ConfigMap): ConnectionDraft {
  map.checkKeys(connectionKeys)
  map.require('connection_type')
  map.require('options')
  const name = map.text('name') ?? key
  const problem = nameProblem(name)
  const place = map.has('name') ? map.placeOfKey('name') : map.place
  if (problem !== undefined) {
    map.context.error('CONFIG_INVALID_NAME', place, {
      message: `the connection name ${JSON.stringify(name)} ${problem}`,
    })
  }
  const connectionType = map.oneOf('connection_type', connectionTypes, laterConnectionTypes)
  const comment = map.text('comment')
  // Options of a source that we do not read are not ours to judge.
  const options = connectionType === undefined ? undefined : readOptions(map)
  if (connectionType === undefined || options === undefined || problem !== undefined) {
    return { name, place, connection: undefined }
  }
  const connection = {
    name,
    connectionType,
    options,
    ...(comment === undefined ? {} : { comment }),
  }
  return { name, place, connection }
}

function readOptions(map: ConfigMap): ConnectionOptions | undefined {
  const options = map.map('options')
  if (options === undefined) return undefined
  options.checkKeys(optionKeys)
  options.require('host')
  options.require('user')
  checkPorts(options)
  checkPasswords(options)
  const isShowingSecret = checkShownOptions(options)
  const read: Record<string, string | Secret> = {}
  let isWrong = false
  for (const [name, definition] of Object.entries(postgresOptions)) {
    if (!options.has(name)) continue
    const template = optionTemplate(options, name, definition)
    if (template === undefined) isWrong = true
    else read[name] = isSecret(name) ? new Secret(template) : template
  }
  const { host, user } = read
  if (isWrong || isShowingSecret || typeof host !== 'string' || typeof user !== 'string')
    return undefined
  return { ...read, host, user }
}

function isSecret(name: string): boolean {
  return secretOptions.some((secret) => secret === name)
}

/** undefined: it is wrong and was reported. */
function optionTemplate(
  options: ConfigMap,
  name: string,
  definition: OptionDefinition,
): string | undefined {
  // An environment may leave a secret empty: whether it is needed is for the server to say.
  if (isSecret(name)) return options.template(name)
  const isValid =
    definition.values === undefined
      ? options.text(name) !== undefined
      : options.oneOf(name, definition.values) !== undefined
  return isValid ? options.template(name) : undefined
}

/** Two passwords cannot both be meant. */
function checkPasswords(options: ConfigMap): void {
  const [first, second] = passwordOptions.filter((name) => options.has(name))
  if (first === undefined || second === undefined) return
  const place = options.placeOfKey(second)
  options.context.error('CONFIG_INVALID_VALUE', place, {
    message: `${place.path} is given beside ${first}`,
    remedy: 'Remove one of the two.',
  })
}

/** Refused before anything is kept or shown of them. True: some were. */
function checkShownOptions(options: ConfigMap): boolean {
  let isWrong = false
  for (const name of ['host', 'user', 'database'] as const) {
    if (!options.has(name)) continue
    const template = options.template(name)
    const text = template === undefined ? '' : expandTemplate(template, options.context.env)
    const problem = misplacedSecret(name, text)
    if (problem === undefined) continue
    isWrong = true
    const place = options.placeOfKey(name)
    options.context.error('CONFIG_INVALID_VALUE', place, {
      message: `${place.path} ${problem}`,
      remedy: shownOptionRemedies[name],
    })
  }
  return isWrong
}

function checkPorts(options: ConfigMap): void {
  const template = options.template('port')
  if (template === undefined) return
  if (arePorts(expandTemplate(template, options.context.env))) return
  const place = options.placeOfKey('port')
  options.context.error('CONFIG_INVALID_VALUE', place, {
    message: `${place.path} is ${options.shown('port', template)}, which is not a port number from 1 to 65535`,
    remedy:
      'Give the port the server listens on, for example "5432"; with several hosts one for each: "5432,5433".',
  })
}
