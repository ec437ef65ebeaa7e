/**
 * Names of the catalog: `catalog.schema.table`. Upper and lower case are not told apart: names are
 * kept in lower case, as they also name folders on disks that do not tell them apart either.
 */
import { SluiceError } from '../base/errors.ts'

export interface SchemaName {
  readonly catalog: string
  readonly schema: string
}

export interface TableName extends SchemaName {
  readonly table: string
}

export interface VolumeName extends SchemaName {
  readonly volume: string
}

/** UTF-8 bytes; what every common file system takes as one folder name. */
const maximumNameBytes = 255

/** Names a Windows disk reserves for devices. */
const reserved = /^(con|prn|aux|nul|com\d|lpt\d)$/

// oxlint-disable-next-line no-control-regex
const forbidden = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029./\\:*?"'<>|`%#]/u

/** Lower case, composed form; two spellings of one name become equal. */
export function foldName(name: string): string {
  return name.normalize('NFC').toLowerCase()
}

/** Why `name` cannot be a part of a name, as the end of a sentence; undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'is empty'
  const character = forbidden.exec(name)?.[0]
  if (character !== undefined) return `contains ${describeCharacter(character)}`
  if (name.startsWith('-')) return 'begins with "-"'
  if (Buffer.byteLength(foldName(name)) > maximumNameBytes) {
    return `is longer than ${maximumNameBytes} bytes`
  }
  if (reserved.test(foldName(name))) return 'is reserved by an operating system'
  return /\p{Cs}/u.test(name) ? 'is not well-formed Unicode' : undefined
}

function describeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0
  if (character === ' ') return 'a blank'
  if (code < 0x20 || (code >= 0x7f && code <= 0xa0) || code > 0x2000) {
    return `the character U+${code.toString(16).toUpperCase().padStart(4, '0')}`
  }
  return `"${character}"`
}

/** The folded name, or CONFIG_INVALID_NAME. `what` says whose name it is: `destination_table`. */
export function checkedName(name: string, what: string): string {
  const problem = nameProblem(name)
  if (problem === undefined) return foldName(name)
  throw new SluiceError('CONFIG_INVALID_NAME', `${what} ${JSON.stringify(name)} ${problem}`)
}

/** `catalog.schema.table`, for people and as a key. */
export function formatTableName(name: TableName): string {
  return `${name.catalog}.${name.schema}.${name.table}`
}

/**
 * Parts of a dotted name, from one to three; a part may stand in "double quotes" or `backquotes`.
 * Throws CONFIG_INVALID_NAME.
 */
export function parseDottedName(text: string): readonly string[] {
  const parts: string[] = []
  const pattern = /\s*(?:"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|([^."`]*?))\s*(\.|$)/gy
  let isOpen = true
  while (isOpen) {
    const match = pattern.exec(text)
    if (match === null) {
      throw new SluiceError('CONFIG_INVALID_NAME', `${JSON.stringify(text)} is not a table name`)
    }
    const part = match[1]?.replaceAll('""', '"') ?? match[2]?.replaceAll('``', '`') ?? match[3]
    parts.push(checkedName(part ?? '', 'name part'))
    isOpen = match[4] === '.'
  }
  if (parts.length > 3) {
    throw new SluiceError(
      'CONFIG_INVALID_NAME',
      `${JSON.stringify(text)} has ${parts.length} parts; a table name has at most three`,
    )
  }
  return parts
}

/** A full name; throws CONFIG_INVALID_NAME when it has not three parts. */
export function parseTableName(text: string): TableName {
  const [catalog, schema, table] = parseDottedName(text)
  if (catalog === undefined || schema === undefined || table === undefined) {
    throw new SluiceError(
      'CONFIG_INVALID_NAME',
      `${JSON.stringify(text)} is not a full name; write catalog.schema.table`,
    )
  }
  return { catalog, schema, table }
}

/** True when `text`, of one to three parts, may mean `name`: its parts are the name's last ones. */
export function matchesTableName(text: string, name: TableName): boolean {
  const wanted = parseDottedName(text)
  const full = [name.catalog, name.schema, name.table]
  return wanted.every((part, index) => part === full[full.length - wanted.length + index])
}
