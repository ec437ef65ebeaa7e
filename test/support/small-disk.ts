/**
 * A small disk of its own: a tmpfs in a user and mount namespace, which needs no rights outside and
 * ends with the process that holds it. Linux only.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface SmallDisk {
  /** Where it is mounted, for those who are `inside`. */
  readonly folder: string
  /** Words before a command that make it see the disk. */
  readonly inside: readonly string[]
  /** The same path as everybody can read it. */
  outside(path: string): string
  /** Uses up all but about `leftBytes`. */
  fill(leftBytes: number): void
  makeRoom(): void
  setWritable(isWritable: boolean): void
  close(): Promise<void>
}

/** `folder` is made if need be. */
export async function mountSmallDisk(folder: string, megabytes: number): Promise<SmallDisk> {
  mkdirSync(folder, { recursive: true })
  const script = 'mount -t tmpfs -o size="$2"m tmpfs "$1" && echo ready && exec cat'
  const namespace = ['--user', '--map-root-user', '--mount']
  const holder: ChildProcess = spawn(
    'unshare',
    [...namespace, 'sh', '-c', script, 'sh', folder, String(megabytes)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const exited = once(holder, 'exit')
  if (holder.stdout !== null) await Promise.race([once(holder.stdout, 'data'), exited])
  if (holder.exitCode !== null) throw new Error('no user and mount namespace can be made here')
  const outside = (path: string): string => `/proc/${holder.pid}/root${path}`
  const ballast = join(folder, 'ballast')
  const inside = ['nsenter', '--preserve-credentials', '-U', '-m', '-t', String(holder.pid)]
  const free = (): number => {
    const { bavail, bsize } = statfsSync(outside(folder))
    return bavail * bsize
  }
  return {
    folder,
    inside,
    outside,
    fill: (leftBytes) =>
      writeFileSync(outside(ballast), Buffer.alloc(Math.max(0, free() - leftBytes))),
    makeRoom: () => rmSync(outside(ballast)),
    setWritable: (isWritable) => {
      const [nsenter = '', ...rest] = inside
      const options = `remount,${isWritable ? 'rw' : 'ro'}`
      execFileSync(nsenter, [...rest, 'mount', '-o', options, folder])
    },
    close: async () => {
      holder.stdin?.end()
      await exited
    },
  }
}
