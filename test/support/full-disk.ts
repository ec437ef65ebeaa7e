/**
 * Runs as a process of its own in a mount namespace, on a small disk: fills the volume, sees what a
 * gateway would see, makes room, goes on. Prints what happened as one line of JSON.
 * Usage: node full-disk.ts FOLDER
 */
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SluiceError } from '../../src/base/errors.ts'
import { readLog } from './read-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { verifyStagedFile } from '../../src/staging/verify-staged-file.ts'
import { filesOf } from '../../src/staging/orphans.ts'
import { batchOf, draftOf, openTestLog, pathsOf, stageChanges } from './staging-fixtures.ts'

const folder = process.argv[2] ?? ''
const root = join(folder, 'volume')
const ballast = join(folder, 'ballast')
const storage = createLocalStorage(root)

function fill(): void {
  for (let size = 1 << 16; size >= 1; size >>= 1) {
    for (let n = 0; n < 64; n++) {
      try {
        writeFileSync(ballast, Buffer.alloc(size), { flag: 'a' })
      } catch {
        break
      }
    }
  }
}

const attempt = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work()
    return 'done'
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    return `${error.code} ${error.message.includes(storage.url) ? 'by name' : 'without name'}`
  }
}

/** A pretended encoder whose row groups are as large as told. */
const largeEncoder = () => ({
  encodeRowGroup: async () => [Buffer.alloc(100_000, 7)],
  finish: () => ({ bytes: Buffer.alloc(10), statistics: { rowCount: 0, columns: [] } }),
})

const log = await openTestLog(storage)
await log.publish(draftOf([await stageChanges(log, '7', 1)]))
const staged = await stageChanges(log, '7', 2)
const before = await pathsOf(storage)
fill()
const full = statfsSync(folder).bavail
const publish = await attempt(() => log.publish(draftOf([staged])))
const open = await attempt(() => stageChanges(log, '7', 3))
const isUnchanged = JSON.stringify(await pathsOf(storage)) === JSON.stringify(before)
rmSync(ballast)
const again = await attempt(() => log.publish(draftOf([staged])))

// In the midst of a file: the disk has room for some of it.
const second = await openTestLog(storage, { createEncoder: largeEncoder })
const path = `tables/7/changes/${'4'.padStart(20, '0')}-${second.epoch}-0.parquet`
const writer = await second.openDataFile(path, [])
const freeBefore = statfsSync(folder).bavail
let written = 0
const midst = await attempt(async () => {
  for (; written < 1000; written++) await writer.write(batchOf(1))
})
const isGivenBack = statfsSync(folder).bavail >= freeBefore
const manifests = (await readLog(storage)).manifests
for (const file of manifests.flatMap(filesOf)) await verifyStagedFile(storage, file)
const report = {
  full,
  publish,
  open,
  isUnchanged,
  again,
  midst,
  writtenSome: written > 0,
  isGivenBack,
  isVisible: existsSync(join(root, path)),
  commits: manifests.length,
}
process.stdout.write(`${JSON.stringify(report)}\n`)
