/** The commit point of staging: puts one manifest into the log, or finds out who was first. */
import { hasCode, SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { manifestPath } from './layout.ts'
import { decodeManifest, encodeManifest } from './manifest-codec.ts'
import type { Manifest, StoredManifest } from './manifest.ts'
import { readManifest } from './read-log.ts'

export type PublishOutcome =
  /** `manifest` is durable and visible under its number. */
  | { readonly kind: 'published'; readonly manifest: Manifest }
  /** The number is taken by somebody else's manifest, or by an earlier one of this writer. */
  | { readonly kind: 'taken'; readonly manifest: Manifest }

/**
 * `before` is the manifest before it, if its writer knows that. An answer that is lost on the way is told from a lost race by reading back what is there. Throws
 * what the storage throws when nothing is there, and STAGING_MANIFEST_UNREADABLE.
 */
export async function publishManifest(
  storage: ObjectStorage,
  manifest: Manifest,
  before: Manifest | undefined,
): Promise<PublishOutcome> {
  const { commit } = manifest
  const stored = asStored(manifest, before)
  const bytes = encodeManifest(stored)
  assertReadable(bytes, manifest, storage.url)
  let failure: { readonly error: unknown } | undefined
  try {
    if (await storage.writeIfAbsent(manifestPath(commit), bytes)) {
      return { kind: 'published', manifest }
    }
  } catch (error) {
    failure = { error }
  }
  const present = await readManifest(storage, commit).catch((error: unknown) => {
    throw failure === undefined || hasCode(error, 'STAGING_MANIFEST_UNREADABLE')
      ? error
      : failure.error
  })
  if (present === undefined) {
    if (failure !== undefined) throw failure.error
    const text = `${storage.url}/${manifestPath(commit)} exists but can not be read`
    throw new SluiceError('STAGING_LOG_GAP', text)
  }
  const found = { ...present, incarnation: present.incarnation ?? before?.incarnation ?? '' }
  return { kind: isSame(present, stored) ? 'published' : 'taken', manifest: found }
}

function asStored(manifest: Manifest, before: Manifest | undefined): StoredManifest {
  if (before === undefined || before.incarnation !== manifest.incarnation) return manifest
  const { incarnation: _, ...stored } = manifest
  return stored
}

/** Same writer and same content; the time of writing aside, since a repeated publish has a later one. */
function isSame(present: StoredManifest, manifest: StoredManifest): boolean {
  if (present.writer !== manifest.writer) return false
  const sameTime = { ...present, created_at_ms: manifest.created_at_ms }
  return Buffer.compare(encodeManifest(sameTime), encodeManifest(manifest)) === 0
}

/** What no reader could read must not get into the log. */
function assertReadable(bytes: Uint8Array, manifest: Manifest, url: string): void {
  try {
    decodeManifest(bytes, manifest.commit, url)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new SluiceError('INTERNAL_ERROR', `refused to publish: ${text}`, { cause: error })
  }
}
