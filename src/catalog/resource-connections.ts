/** `resources.connections` of a resource file. */
import type { ConfigMap } from './config-map.ts'
import type { Place } from './config-problem.ts'
import {
  connectionTypes,
  laterConnectionTypes,
  portFromText,
  sslModes,
  type Connection,
  type ConnectionOptions,
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
  used: ['host', 'port', 'user', 'password', 'database', 'sslmode', 'sslrootcert'],
  unsupported: {
    trustServerCertificate: 'Use "sslmode: require" for TLS without proof of the certificate.',
    sslcert: 'Use a password.',
    sslkey: 'Use a password.',
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
  checkPort(options)
  const sslmode = options.has('sslmode') ? options.oneOf('sslmode', sslModes) : undefined
  const host = nonEmpty(options, 'host')
  const user = nonEmpty(options, 'user')
  const password = options.template('password')
  if (host === undefined || user === undefined) return undefined
  const isWrong =
    (options.has('password') && password === undefined) ||
    (options.has('sslmode') && sslmode === undefined)
  if (isWrong) return undefined
  return {
    host,
    user,
    ...(password === undefined ? {} : { password: new Secret(password) }),
    ...optional(options, 'port'),
    ...optional(options, 'database'),
    ...optional(options, 'sslmode'),
    ...optional(options, 'sslrootcert'),
  }
}

/** The template, checked to be not empty once filled in. */
function nonEmpty(options: ConfigMap, key: string): string | undefined {
  return options.text(key) === undefined ? undefined : options.template(key)
}

function optional<K extends string>(options: ConfigMap, key: K): { [key in K]?: string } {
  const template = options.has(key) ? nonEmpty(options, key) : undefined
  return template === undefined ? {} : ({ [key]: template } as { [key in K]: string })
}

function checkPort(options: ConfigMap): void {
  const template = options.template('port')
  if (template === undefined) return
  if (portFromText(expandTemplate(template, options.context.env)) !== undefined) return
  const place = options.placeOfKey('port')
  options.context.error('CONFIG_INVALID_VALUE', place, {
    message: `${place.path} is ${options.shown('port', template)}, which is not a port number from 1 to 65535`,
    remedy: 'Give the port the server listens on, for example "5432".',
  })
}
