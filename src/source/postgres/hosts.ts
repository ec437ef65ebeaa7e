/** Where the servers of a connection are: the lists of its options `host` and `port`. */
import { SluiceError } from '../../base/errors.ts'

/** One place to try. */
export interface HostAddress {
  /** A name, an IPv4 or IPv6 address, or the absolute folder of a Unix socket. */
  readonly host: string
  readonly port: number
}

function invalid(message: string): SluiceError {
  return new SluiceError('SOURCE_OPTION_INVALID', message)
}

export function isUnixSocket({ host }: HostAddress): boolean {
  return host.startsWith('/')
}

/** The file of the server's Unix socket. */
export function socketPath({ host, port }: HostAddress): string {
  return `${host.replace(/\/+$/, '')}/.s.PGSQL.${port}`
}

/** `db:5432`, `[::1]:5432` or the path of a Unix socket, for people. */
export function shownAddress(address: HostAddress): string {
  if (isUnixSocket(address)) return socketPath(address)
  const { host, port } = address
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export function shownHosts({ hosts }: { readonly hosts: readonly HostAddress[] }): string {
  return hosts.map(shownAddress).join(', ')
}

/**
 * `host` may list several, `a,b`; `port` then has one port for all or one for each. Throws
 * SOURCE_OPTION_INVALID.
 */
export function parseHosts(host: string, port: string): readonly HostAddress[] {
  const hosts = host.split(',').map((one) => one.trim().replace(/^\[(.*)\]$/, '$1'))
  if (hosts.includes('')) throw invalid(`Option host has an empty entry: "${host}"`)
  const ports = port.split(',').map((text) => parsePort(text.trim()))
  if (ports.length !== 1 && ports.length !== hosts.length) {
    throw invalid(
      `Option port lists ${ports.length} ports for ${hosts.length} hosts; give one port, or one for each host`,
    )
  }
  return hosts.map((one, place) => ({ host: one, port: ports[place] ?? ports[0] ?? 0 }))
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65535) return port
  throw invalid(`Option port is "${text}", not a number from 1 to 65535`)
}
