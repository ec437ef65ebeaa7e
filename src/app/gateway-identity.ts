/**
 * Names of what a gateway makes at its source, kept in its staging volume: the slot belongs to the
 * positions staged there, so a copied catalog or a second installation with the same file never
 * touches another one's slot.
 */
import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { hasCode, SluiceError } from '../base/errors.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

export interface GatewayIdentity {
  readonly slot: string
  readonly publication: string
  /** A person named them and may have made them: the slot is never dropped. */
  readonly isChosen?: boolean
}

const identityPath = '_gateway.json'

const shape = z.object({
  slot: z.string().regex(/^[a-z0-9_]{1,63}$/),
  publication: z.string().min(1).max(63),
  isChosen: z.boolean().optional(),
})

/**
 * Names a source accepts: lower-case letters, digits, underscores. The slot is unique by its random
 * tail: nobody but us may ever read from it. The publication has the same name before the first run
 * as after it, so that a person can make it when we may not.
 */
export function newIdentity(
  storage: ObjectStorage,
  { key, sourceNames }: Pick<GatewayDefinition, 'key' | 'sourceNames'>,
): GatewayIdentity {
  if (sourceNames !== undefined) return { ...sourceNames, isChosen: true }
  const stem = key
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '_')
    .slice(0, 40)
  const volume = createHash('sha256').update(storage.url).digest('hex').slice(0, 8)
  return {
    slot: `sluice_${stem}_${randomBytes(4).toString('hex')}`,
    publication: `sluice_${stem}_${volume}`,
  }
}

/** `isSalvage`: names that cannot be read are replaced; the old slot is left to its owner. */
export async function gatewayIdentity(
  storage: ObjectStorage,
  definition: Pick<GatewayDefinition, 'key' | 'sourceNames'>,
  options: { readonly isSalvage: boolean },
): Promise<GatewayIdentity> {
  const identity = newIdentity(storage, definition)
  try {
    const found = await readIdentity(storage)
    if (found !== undefined) return found
  } catch (error) {
    if (!options.isSalvage || !hasCode(error, 'STAGING_MANIFEST_UNREADABLE')) throw error
    await storage.write(identityPath, Buffer.from(JSON.stringify(identity)))
    return identity
  }
  await storage.writeIfAbsent(identityPath, Buffer.from(JSON.stringify(identity)))
  // Whoever was first decides.
  return (await readIdentity(storage)) ?? identity
}

/** undefined when no gateway ever used the volume. */
export async function readIdentity(storage: ObjectStorage): Promise<GatewayIdentity | undefined> {
  const bytes = await storage.read(identityPath)
  if (bytes === undefined) return undefined
  try {
    const { isChosen = false, ...names } = shape.parse(
      JSON.parse(Buffer.from(bytes).toString('utf8')),
    )
    return { ...names, isChosen }
  } catch (error) {
    throw new SluiceError(
      'STAGING_MANIFEST_UNREADABLE',
      `${storage.url}/${identityPath} does not name a slot and a publication`,
      { cause: error },
    )
  }
}
