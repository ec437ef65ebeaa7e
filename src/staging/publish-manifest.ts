/** The commit point of staging: puts one manifest into the log, or finds out who was first. */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { manifestPath } from './layout.ts'
import { decodeManifest, encodeManifest } from './manifest-codec.ts'
import type { Manifest, StoredManifest } from './manifest.ts'
import { sealOf } from './sealed-json.ts'

export interface PublishOutcome {
  /**
   * `published`: `manifest` is durable and visible under its number. `taken`: the number is that of
   * somebody else's manifest, or of an earlier one of this writer, which is `manifest`.
   */
  readonly kind: 'published' | 'taken'
  readonly manifest: Manifest
  /** Of the file. */
  readonly seal: number
}

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
      return { kind: 'published', manifest, seal: sealFrom(bytes) }
    }
  } catch (error) {
    failure = { error }
  }
  const found = await storage.read(manifestPath(commit)).catch((error: unknown) => {
    throw failure === undefined ? error : failure.error
  })
  if (found === undefined) {
    if (failure !== undefined) throw failure.error
    const text = `${storage.url}/${manifestPath(commit)} exists but can not be read`
    throw new SluiceError('STAGING_LOG_GAP', text)
  }
  const present = decodeManifest(found, commit, storage.url)
  const kind = isSame(present, stored) ? 'published' : 'taken'
  const incarnation = present.incarnation ?? before?.incarnation ?? ''
  return { kind, manifest: { ...present, incarnation }, seal: sealFrom(found) }
}

/** Of bytes that were encoded or decoded whole. */
function sealFrom(bytes: Uint8Array): number {
  return sealOf(bytes) ?? -1
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
