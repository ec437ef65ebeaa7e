/**
 * Seals secrets at rest with AES-256-GCM. The key lies beside the catalog in a file only its owner
 * may read; whoever holds a copy of the catalog alone holds no secret.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { chmodSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { SluiceError } from '../base/errors.ts'
import { Secret } from './secret.ts'

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const prefix = 'sealed:1:'

export interface Sealer {
  /** `context` binds the sealed text to its place: it opens nowhere else. */
  seal(secret: Secret, context: string): string
  /** Throws CATALOG_SECRET_UNREADABLE. */
  open(sealed: string, context: string): Secret
}

/** The key is read, or made, when the first secret asks for it. */
export function createSealer(keyFile: string): Sealer {
  let key: Buffer | undefined
  return {
    seal: (secret, context) => {
      key ??= readKey(keyFile) ?? makeKey(keyFile)
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      cipher.setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()])
      return prefix + Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
    },
    open: (sealed, context) => {
      key ??= readKey(keyFile)
      if (key === undefined) throw unreadable(context, `${keyFile} does not exist`)
      if (!sealed.startsWith(prefix)) throw unreadable(context, 'it is not sealed text')
      const bytes = Buffer.from(sealed.slice(prefix.length), 'base64')
      if (bytes.length < nonceBytes + tagBytes) throw unreadable(context, 'it is cut short')
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes))
      decipher.setAAD(Buffer.from(context))
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
      try {
        const body = decipher.update(bytes.subarray(nonceBytes + tagBytes))
        return new Secret(Buffer.concat([body, decipher.final()]).toString('utf8'))
      } catch {
        throw unreadable(context, 'the key is another one or the bytes were altered')
      }
    },
  }
}

function unreadable(context: string, reason: string): SluiceError {
  return new SluiceError('CATALOG_SECRET_UNREADABLE', `the secret of ${context}: ${reason}`)
}

function readKey(keyFile: string): Buffer | undefined {
  let text: string
  try {
    text = readFileSync(keyFile, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new SluiceError('CATALOG_SECRET_UNREADABLE', `cannot read ${keyFile}`, { cause: error })
  }
  const key = Buffer.from(text.trim(), 'base64')
  if (key.length === keyBytes) return key
  throw new SluiceError('CATALOG_SECRET_UNREADABLE', `${keyFile} does not hold a key`)
}

/** Two processes may make the key at once: the first link wins, both use that one. */
function makeKey(keyFile: string): Buffer {
  const draft = `${keyFile}.${randomBytes(6).toString('hex')}`
  writeFileSync(draft, `${randomBytes(keyBytes).toString('base64')}\n`, {
    mode: 0o600,
    flush: true,
  })
  chmodSync(draft, 0o600)
  try {
    linkSync(draft, keyFile)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  const key = readKey(keyFile)
  if (key === undefined) throw unreadable(keyFile, 'the key could not be written')
  return key
}
