/** Notices a missing, torn or altered data file before it is applied. */
import { crc32 } from 'node:zlib'
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { StagedFile } from './manifest.ts'

/** What is read at once; bounds memory whatever the file's size. */
const pieceBytes = 8 * 1024 * 1024

/**
 * Reads the whole file and compares size and CRC-32 with what was staged. Throws
 * STAGING_FILE_MISSING or STAGING_FILE_DAMAGED.
 */
export async function verifyStagedFile(storage: ObjectStorage, file: StagedFile): Promise<void> {
  const name = `the staged file ${storage.url}/${file.path}`
  const info = await storage.stat(file.path)
  if (info === undefined) throw new SluiceError('STAGING_FILE_MISSING', `${name} is not there`)
  if (info.sizeBytes !== file.bytes) {
    const text = `${name} has ${info.sizeBytes} bytes; ${file.bytes} were staged`
    throw new SluiceError('STAGING_FILE_DAMAGED', text)
  }
  let found = 0
  for (let start = 0; start < file.bytes; start += pieceBytes) {
    const end = Math.min(file.bytes, start + pieceBytes)
    found = crc32(await storage.readRange(file.path, start, end), found)
  }
  if (found !== file.crc32) {
    const text = `${name} has the crc32 ${hex(found)}; ${hex(file.crc32)} was staged`
    throw new SluiceError('STAGING_FILE_DAMAGED', text)
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
