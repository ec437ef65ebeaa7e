/** Any failure of the file system as a coded STORAGE_* error that names the path. */
import { SluiceError } from '../base/errors.ts'
import type { ErrorCode } from '../base/error-codes.ts'

const codeOfErrno: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'STORAGE_FULL',
  EDQUOT: 'STORAGE_FULL',
  EFBIG: 'STORAGE_FULL',
  EACCES: 'STORAGE_FORBIDDEN',
  EPERM: 'STORAGE_FORBIDDEN',
  EROFS: 'STORAGE_FORBIDDEN',
  ENOENT: 'STORAGE_OBJECT_MISSING',
}

/** `ENOENT`, `EEXIST` and so on; undefined when the value is not an error of the system. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** `verb` finishes "can not … <path>". A SluiceError passes through as it is. */
export function storageError(verb: string, path: string, error: unknown): SluiceError {
  if (error instanceof SluiceError) return error
  const errno = errnoOf(error)
  const code = (errno === undefined ? undefined : codeOfErrno[errno]) ?? 'STORAGE_FAILED'
  const reason = errno ?? (error instanceof Error ? error.message : String(error))
  return new SluiceError(code, `can not ${verb} ${path}: ${reason}`, { cause: error })
}
