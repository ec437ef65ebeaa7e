/**
 * What the connections of one source know of each other: which host answered last, and which
 * server they are on. A copy from one server and a stream from another would not fit together, so
 * when a new connection meets another server, those to the former one end.
 */
import { SluiceError } from '../../base/errors.ts'
import { type HostAddress, shownAddress } from './hosts.ts'

/** What a server says of itself to a new session. */
export interface ServerState {
  /** Start time of its first process: no two servers share one, and a restart is another one. */
  readonly identity: string
  readonly isStandby: boolean
  /** New transactions may not write, unless they ask for it. */
  readonly isReadOnly: boolean
}

/** A connection that can be ended from outside. */
export interface Member {
  end(error: SluiceError): void
}

export class ServerMemory {
  #identity: string | undefined
  #address: HostAddress | undefined
  readonly #members = new Set<Member>()

  /** The host that answered last comes first; the others keep their order. */
  order(hosts: readonly HostAddress[]): readonly HostAddress[] {
    const last = hosts.find(
      ({ host, port }) => host === this.#address?.host && port === this.#address.port,
    )
    return last === undefined ? hosts : [last, ...hosts.filter((host) => host !== last)]
  }

  /** Sessions are open: another one belongs beside them. */
  get isInUse(): boolean {
    return this.#members.size > 0
  }

  /** A session was opened. Ends the sessions that are on another server. */
  join(member: Member, address: HostAddress, { identity }: ServerState): void {
    if (this.#identity !== undefined && this.#identity !== identity) {
      const former = [...this.#members]
      this.#members.clear()
      const message = `${shownAddress(address)} is another server, or was started anew, since this connection was made`
      for (const one of former) one.end(new SluiceError('SOURCE_SERVER_CHANGED', message))
    }
    this.#identity = identity
    this.#address = address
    this.#members.add(member)
  }

  leave(member: Member): void {
    this.#members.delete(member)
  }
}
