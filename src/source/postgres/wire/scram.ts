/**
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, client side (RFC 5802, RFC 7677; channel binding
 * tls-server-end-point, RFC 5929 §4).
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { SluiceError } from '../../../base/errors.ts'

const derive = promisify(pbkdf2)
/** Beyond this a server only means to keep us busy. */
const maxIterations = 10_000_000

export type ChannelBinding =
  /** We do not do channel binding. */
  | { readonly kind: 'none' }
  /** We could, but the server did not offer it: it will notice if somebody hid its offer. */
  | { readonly kind: 'not-offered' }
  | { readonly kind: 'server-end-point'; readonly data: Buffer }

export interface ScramOptions {
  readonly password: string
  /** Printable, no comma; fresh for every exchange. */
  readonly nonce: string
  readonly channelBinding: ChannelBinding
  /** PostgreSQL takes the user from the startup message and ignores this one. */
  readonly user?: string
}

function refused(message: string): SluiceError {
  return new SluiceError('SOURCE_AUTHENTICATION_FAILED', message)
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function attributes(message: string): Map<string, string> {
  return new Map(message.split(',').map((part) => [part.slice(0, 1), part.slice(2)]))
}

/** One exchange: send `clientFirst`, answer with `clientFinal`, then `verify` the server. */
export class ScramExchange {
  readonly #options: ScramOptions
  readonly #gs2Header: string
  readonly #firstBare: string
  #serverSignature: Buffer | undefined

  constructor(options: ScramOptions) {
    this.#options = options
    const { kind } = options.channelBinding
    this.#gs2Header =
      kind === 'none' ? 'n,,' : kind === 'not-offered' ? 'y,,' : 'p=tls-server-end-point,,'
    this.#firstBare = `n=${options.user ?? ''},r=${options.nonce}`
  }

  get clientFirst(): string {
    return this.#gs2Header + this.#firstBare
  }

  async clientFinal(serverFirst: string): Promise<string> {
    const parts = attributes(serverFirst)
    const nonce = parts.get('r') ?? ''
    const salt = Buffer.from(parts.get('s') ?? '', 'base64')
    const iterations = Number(parts.get('i'))
    if (!nonce.startsWith(this.#options.nonce) || nonce.length === this.#options.nonce.length) {
      throw refused('The server answered a SCRAM exchange that is not ours')
    }
    if (salt.length === 0 || !(iterations >= 1 && iterations <= maxIterations)) {
      throw refused(`The server asks for SCRAM with ${parts.get('i')} iterations`)
    }
    const binding = this.#options.channelBinding
    const bound = binding.kind === 'server-end-point' ? binding.data : Buffer.alloc(0)
    const c = Buffer.concat([Buffer.from(this.#gs2Header), bound]).toString('base64')
    const withoutProof = `c=${c},r=${nonce}`
    const authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`
    const password = prepareSaslPassword(this.#options.password)
    const salted = await derive(password, salt, iterations, 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const storedKey = createHash('sha256').update(clientKey).digest()
    const proof = hmac(storedKey, authMessage)
    for (let i = 0; i < proof.length; i++) proof[i] = (proof[i] ?? 0) ^ (clientKey[i] ?? 0)
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage)
    return `${withoutProof},p=${proof.toString('base64')}`
  }

  /** Throws unless the server proved that it knows the password too. */
  verify(serverFinal: string): void {
    const parts = attributes(serverFinal)
    if (parts.has('e')) throw refused(`The server refused the SCRAM proof (${parts.get('e')})`)
    const theirs = Buffer.from(parts.get('v') ?? '', 'base64')
    const ours = this.#serverSignature
    if (ours === undefined || theirs.length !== ours.length || !timingSafeEqual(ours, theirs)) {
      throw refused('The server could not prove that it knows the password')
    }
  }
}

/**
 * SASLprep (RFC 4013) as PostgreSQL does it: a password that it forbids, or that is not text, is
 * used as it is.
 */
export function prepareSaslPassword(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password
  const mapped = password
    // RFC 3454 C.1.2: other spaces become a space.
    .replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
    // RFC 3454 B.1: commonly mapped to nothing.
    .replace(/\u00ad|\u034f|\u1806|\u180b|\u180c|\u180d|\u200c|\u200d|\u2060|\ufeff/g, '')
    .replace(/\p{Variation_Selector}/gu, '')
  const prepared = mapped.normalize('NFKC')
  // RFC 3454 C.2 to C.9: controls, private use, surrogates, non-characters, tagging characters.
  const forbidden =
    /[\p{Cc}\p{Co}\p{Cs}\u0340\u0341\u06dd\u070f\u180e\u200e\u200f\u2028\u2029\u202a-\u202e\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\ufdd0-\ufdef\ufff9-\ufffd\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]|[\ufffe\uffff]/u
  return prepared === '' || forbidden.test(prepared) ? password : prepared
}

/** Hash of a signature algorithm by its object identifier; md5 and sha1 count as sha256. */
const signatureHashes: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256',
  '2a864886f70d010105': 'sha256',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a864886f70d01010e': 'sha224',
  '2a8648ce3d0401': 'sha256',
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
}

interface DerElement {
  readonly contentStart: number
  readonly end: number
}

function derElement(der: Buffer, at: number): DerElement {
  const first = der[at + 1] ?? 0
  if (first < 0x80) return { contentStart: at + 2, end: at + 2 + first }
  const count = first & 0x7f
  const contentStart = at + 2 + count
  return { contentStart, end: contentStart + der.readUIntBE(at + 2, count) }
}

/**
 * The tls-server-end-point data of a certificate in DER: its hash under the hash function of its
 * signature. undefined when that has none of its own (Ed25519) or names it elsewhere (RSA-PSS).
 */
export function serverEndPoint(der: Buffer): Buffer | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, … }, … } (RFC 5280 §4.1)
  const certificate = derElement(der, 0)
  const toBeSigned = derElement(der, certificate.contentStart)
  const algorithm = derElement(der, toBeSigned.end)
  const identifier = derElement(der, algorithm.contentStart)
  const hash = signatureHashes[der.toString('hex', identifier.contentStart, identifier.end)]
  return hash === undefined ? undefined : createHash(hash).update(der).digest()
}
