/**
 * Answers to the server's authentication requests: SCRAM-SHA-256(-PLUS), MD5, and a cleartext
 * password over TLS only (PostgreSQL documentation, "Start-up" and "SASL Authentication").
 */
import { createHash, randomBytes } from 'node:crypto'
import { SluiceError } from '../../../base/errors.ts'
import { shownAddress } from '../hosts.ts'
import { encodePassword, encodeSaslInitial, encodeSaslResponse, readText } from './messages.ts'
import { type ChannelBinding, ScramExchange } from './scram.ts'
import type { SocketTarget, WireSocket } from './socket.ts'

/** Codes of the AuthenticationXXX messages. */
const request = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const
const names: Readonly<Record<number, string>> = {
  2: 'Kerberos V5',
  7: 'GSSAPI',
  9: 'SSPI',
}

function md5(...parts: readonly (string | Buffer)[]): string {
  const hash = createHash('md5')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

export class Authentication {
  readonly #target: SocketTarget
  readonly #socket: WireSocket
  readonly #startedMs: number
  #scram: ScramExchange | undefined
  #isVerified = true
  #isBound = false

  /** `startedMs`: by `performance.now()`, when connecting began. */
  constructor(target: SocketTarget, socket: WireSocket, startedMs: number) {
    this.#startedMs = startedMs
    this.#target = target
    this.#socket = socket
  }

  /** Answers one AuthenticationXXX message. */
  async answer(content: Buffer): Promise<void> {
    if (content.length < 4) throw this.#unsupported('an empty request')
    const kind = content.readInt32BE(0)
    const rest = content.subarray(4)
    switch (kind) {
      case request.ok:
        // A server that skips its own proof may be anybody.
        if (!this.#isVerified) throw this.#unsupported('SCRAM without a proof of its own')
        if (!this.#isBound) this.#expectNoBinding('nothing that binds the channel')
        return
      case request.cleartext:
        if (!this.#socket.isEncrypted) throw this.#unsupported('a cleartext password without TLS')
        this.#expectNoBinding('a cleartext password')
        this.#socket.write(encodePassword(await this.#password()))
        return
      case request.md5: {
        this.#expectNoBinding('an MD5 password')
        const inner = md5(await this.#password(), this.#target.options.user)
        this.#socket.write(encodePassword(`md5${md5(inner, rest.subarray(0, 4))}`))
        return
      }
      case request.sasl:
        await this.#begin(rest)
        return
      case request.saslContinue:
        if (this.#scram === undefined) throw this.#unsupported('SASL out of order')
        this.#socket.write(encodeSaslResponse(await this.#scram.clientFinal(rest.toString('utf8'))))
        return
      case request.saslFinal:
        if (this.#scram === undefined) throw this.#unsupported('SASL out of order')
        this.#scram.verify(rest.toString('utf8'))
        this.#isVerified = true
        return
      default:
        throw this.#unsupported(names[kind] ?? `method ${kind}`)
    }
  }

  /** Throws when the connection is to be bound to the server's certificate. */
  #expectNoBinding(what: string): void {
    if (this.#target.options.channelBinding !== 'require') return
    throw new SluiceError(
      'SOURCE_AUTHENTICATION_UNSUPPORTED',
      `${shownAddress(this.#target.address)} asks for ${what}, and channel_binding is require`,
      {
        remedy:
          'Use scram-sha-256 in pg_hba.conf, a password stored for it, and TLS; or set channel_binding to prefer.',
      },
    )
  }

  async #begin(list: Buffer): Promise<void> {
    const mechanisms: string[] = []
    for (let at = 0; at < list.length && list[at] !== 0;) {
      const name = readText(list, at, list.length)
      mechanisms.push(name)
      at += name.length + 1
    }
    const { channelBinding: wanted } = this.#target.options
    const data = wanted === 'disable' ? undefined : this.#socket.serverEndPoint
    const isPlus = data !== undefined && mechanisms.includes('SCRAM-SHA-256-PLUS')
    if (!isPlus && !mechanisms.includes('SCRAM-SHA-256')) {
      throw this.#unsupported(mechanisms.join(', '))
    }
    if (!isPlus) this.#expectNoBinding('SCRAM-SHA-256 without channel binding')
    this.#isBound = isPlus
    let channelBinding: ChannelBinding = { kind: 'none' }
    if (data !== undefined) {
      channelBinding = isPlus ? { kind: 'server-end-point', data } : { kind: 'not-offered' }
    }
    this.#isVerified = false
    this.#scram = new ScramExchange({
      password: await this.#password(),
      nonce: randomBytes(18).toString('base64'),
      channelBinding,
    })
    const mechanism = isPlus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256'
    this.#socket.write(encodeSaslInitial(mechanism, this.#scram.clientFirst))
  }

  async #password(): Promise<string> {
    const { options, address } = this.#target
    const { database, user } = options
    const { connectTimeoutMs } = options
    // A little earlier than the connection is given up, which would blame the server.
    const leftMs = connectTimeoutMs * 0.95 - (performance.now() - this.#startedMs)
    const limit = { leftMs: Math.max(leftMs, 1), connectTimeoutMs }
    const password = await options.password({ address, database, user }, limit)
    if (password !== undefined && password !== '') return password
    throw new SluiceError(
      'SOURCE_AUTHENTICATION_FAILED',
      `${shownAddress(address)} asks for the password of user "${user}", and the connection has none`,
      {
        remedy:
          'Set the option password of the connection, or password_file, password_command or passfile.',
      },
    )
  }

  #unsupported(what: string): SluiceError {
    return new SluiceError(
      'SOURCE_AUTHENTICATION_UNSUPPORTED',
      `${shownAddress(this.#target.address)} asks for ${what}`,
    )
  }
}
