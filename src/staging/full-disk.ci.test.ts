/** A disk that is really full: a small tmpfs, mounted where only a child process sees it. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../test/support/full-disk.ts', import.meta.url))

test('a full disk leaves nothing half written, and the gateway goes on when there is room', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-full-disk-'))
  try {
    // Root in a namespace of its own: needs no rights outside, and the mount ends with the child.
    const shell = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" "$3" "$1"'
    const namespace = ['--user', '--map-root-user', '--mount']
    const child = ['sh', '-c', shell, 'sh', folder, process.execPath, script]
    const output = execFileSync('unshare', [...namespace, ...child], { encoding: 'utf8' })
    expect(JSON.parse(output)).toEqual({
      full: 0,
      publish: 'STORAGE_FULL by name',
      open: 'STORAGE_FULL by name',
      isUnchanged: true,
      again: 'done',
      midst: 'STORAGE_FULL by name',
      writtenSome: true,
      isGivenBack: true,
      isVisible: false,
      commits: 4,
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
