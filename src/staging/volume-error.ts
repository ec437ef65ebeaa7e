/** Says on which staging volume a storage error happened. */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

/** The same code, cause and remedy; the message names the volume. Others pass unchanged. */
export function onVolume(storage: ObjectStorage, error: unknown): unknown {
  if (!(error instanceof SluiceError) || error.message.includes(storage.url)) return error
  const text = `staging volume ${storage.url}: ${error.message}`
  return new SluiceError(error.code, text, { cause: error, remedy: error.remedy })
}
