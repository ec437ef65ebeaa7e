/**
 * Names of what a gateway makes at its source, kept in its staging volume: the slot belongs to the
 * positions staged there, so a copied catalog or a second installation with the same file never
 * touches another one's slot.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

export interface GatewayIdentity {
  readonly slot: string
  readonly publication: string
}

const identityPath = '_gateway.json'

const shape = z.object({
  slot: z.string().regex(/^[a-z0-9_]{1,63}$/),
  publication: z.string().min(1).max(63),
})

/** A name a source accepts: lower-case letters, digits, underscores; unique by its random tail. */
export function newIdentity(key: string, tail: string): GatewayIdentity {
  const stem = key
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '_')
    .slice(0, 40)
  const name = `sluice_${stem}_${tail}`
  return { slot: name, publication: name }
}

export async function gatewayIdentity(
  storage: ObjectStorage,
  key: string,
): Promise<GatewayIdentity> {
  const found = await readIdentity(storage)
  if (found !== undefined) return found
  const identity = newIdentity(key, randomBytes(4).toString('hex'))
  await storage.writeIfAbsent(identityPath, Buffer.from(JSON.stringify(identity)))
  // Whoever was first decides.
  return (await readIdentity(storage)) ?? identity
}

/** undefined when no gateway ever used the volume. */
export async function readIdentity(storage: ObjectStorage): Promise<GatewayIdentity | undefined> {
  const bytes = await storage.read(identityPath)
  if (bytes === undefined) return undefined
  try {
    return shape.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (error) {
    throw new SluiceError(
      'STAGING_MANIFEST_UNREADABLE',
      `${storage.url}/${identityPath} does not name a slot and a publication`,
      { cause: error, remedy: 'Restore the file from a copy of the volume.' },
    )
  }
}
