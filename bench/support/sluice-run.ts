/** `sluice run` over a private server, as a person would start it, with its memory watched. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import { resourceFile, type SluiceProcess, startSluice } from '../../test/support/sluice-process.ts'

export interface WatchedRun extends SluiceProcess {
  /** The most the process ever held, as far as it was seen. */
  peakRssBytes(): number
}

/** Writes the resource file into `folder`, where data go too. */
export async function startRun(
  server: EmbeddedPostgres,
  folder: string,
  args: readonly string[],
): Promise<WatchedRun> {
  const { port, user } = server
  const file = join(folder, 'bench.yml')
  await writeFile(file, resourceFile({ port, user, schema: 'public' }))
  const env = { SLUICE_TEST_PASSWORD: server.password }
  const child = startSluice(['run', file, '--data', join(folder, 'data'), ...args], {
    cwd: folder,
    env,
  })
  let peak = 0
  const look = async (): Promise<void> => {
    const text = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024)
  }
  const timer = setInterval(() => void look(), 50)
  child.finished.then(
    () => clearInterval(timer),
    () => clearInterval(timer),
  )
  return { ...child, peakRssBytes: () => peak }
}

/** Runs to the end; throws unless all work was done. */
export async function runToEnd(server: EmbeddedPostgres, folder: string): Promise<number> {
  const child = await startRun(server, folder, ['--once'])
  const { exitCode, stderr } = await child.finished
  if (exitCode !== 0) throw new Error(`sluice run ended with ${exitCode}: ${stderr}`)
  return child.peakRssBytes()
}
