/** Password files in the format of libpq (PostgreSQL documentation, "The Password File"). */
import type { HostAddress } from './hosts.ts'
import { isUnixSocket } from './hosts.ts'

export interface PassFileQuestion {
  readonly address: HostAddress
  readonly database: string
  readonly user: string
}

/** `host:port:database:user:password`; in each `\:` and `\\`; the password is the rest of the line. */
function fieldsOf(line: string): readonly string[] {
  const fields: string[] = []
  let field = ''
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? ''
    if (character === '\\' && at + 1 < line.length) {
      at++
      field += line[at] ?? ''
    } else if (character === ':' && fields.length < 4) {
      fields.push(field)
      field = ''
    } else field += character
  }
  return [...fields, field]
}

/** `*` that is written without an escape means anything; `\*` is a star. */
function patternsOf(line: string): readonly boolean[] {
  const patterns: boolean[] = []
  let start = 0
  for (let at = 0; at <= line.length && patterns.length < 4; at++) {
    if (line[at] === '\\') at++
    else if (at === line.length || line[at] === ':') {
      patterns.push(line.slice(start, at) === '*')
      start = at + 1
    }
  }
  return patterns
}

/** The password of the first line that fits; undefined: none does. */
export function findPassword(text: string, question: PassFileQuestion): string | undefined {
  const { address, database, user } = question
  // A server on this machine is called localhost there, whatever the folder of its socket.
  const hosts = isUnixSocket(address) ? [address.host, 'localhost'] : [address.host]
  const wanted = [hosts, [String(address.port)], [database], [user]]
  for (const line of text.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue
    const fields = fieldsOf(line)
    if (fields.length < 5) continue
    const isAny = patternsOf(line)
    const fits = wanted.every(
      (values, place) => isAny[place] === true || values.includes(fields[place] ?? ''),
    )
    if (fits) return fields[4]
  }
  return undefined
}
