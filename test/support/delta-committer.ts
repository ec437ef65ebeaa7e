/**
 * A process that commits to one Delta table, for races and crashes between real processes.
 * usage: delta-committer.ts <storage root> <table> <writer> <commits> [failpoint]
 * Prints the path of each file once its commit is acknowledged.
 */
import { writeSync } from 'node:fs'
import { failpointsFromText } from '../../src/base/failpoint.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'

const [folder = '', root = '', writer = '', commits = '', failpoint] = process.argv.slice(2)
const failpoints = failpointsFromText(failpoint)
const storage = createLocalStorage(folder, {
  beforeLink: () => failpoints.hit('delta.commit-linked'),
})
const table = openDeltaTable({ storage, root, failpoints })
let base = await table.snapshot()
for (let n = 0; n < Number(commits);) {
  const path = `${writer}-${n}.parquet`
  const file = { path, partitionValues: {}, size: 1, modificationTime: 0, dataChange: true }
  const outcome = await table.commit(base, [{ add: file }])
  base = outcome.snapshot
  if (outcome.kind === 'conflict') continue
  writeSync(1, `${path}\n`)
  n++
}
