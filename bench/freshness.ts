/**
 * From the commit at the source to the Delta version that shows it, while `sluice run` follows a
 * shop at work. The server tells when each transaction committed, the file system when each version
 * appeared; both read the same clock.
 */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../src/quickstart/embedded-postgres.ts'
import { createShop, shopTables } from '../src/quickstart/shop-schema.ts'
import { startWorkload } from '../src/quickstart/workload.ts'
import type { SluiceProcess } from '../test/support/sluice-process.ts'
import type { Bench } from './support/measure.ts'
import { startRun, type WatchedRun } from './support/sluice-run.ts'

const changesPerSecond = 1000
const seconds = 20

interface Version {
  readonly visibleAtMs: number
  /** Every transaction of the table up to this commit time is in it. */
  readonly coveredToUs: bigint
}

async function versionsOf(log: string): Promise<Version[]> {
  const names = (await readdir(log).catch(() => [])).filter((name) => /^\d{20}\.json$/.test(name))
  const versions: Version[] = []
  for (const name of names.toSorted()) {
    const text = await readFile(join(log, name), 'utf8')
    const time = /"maxCommitTimeUs":"?(\d+)/.exec(text)?.[1]
    // The link that makes a version visible is the last thing done to its file.
    const { ctimeMs } = await stat(join(log, name))
    if (time !== undefined) versions.push({ visibleAtMs: ctimeMs, coveredToUs: BigInt(time) })
  }
  return versions
}

/** Commit times, µs, of all rows of a table that were written last after `sinceUs`. */
async function commitTimes(
  server: EmbeddedPostgres,
  table: string,
  sinceUs: number,
): Promise<bigint[]> {
  const rows = await server.sql(`select at::text from (
      select (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint as at
      from ${table} where age(xmin) < 2000000 and pg_xact_commit_timestamp(xmin) is not null) t
    where at > ${sinceUs}`)
  return rows.map((row) => BigInt(String(row['at'])))
}

async function untilLoaded(lake: string): Promise<void> {
  for (let tries = 0; tries < 1200; tries++) {
    const found = await Promise.all(
      shopTables.map((table) => versionsOfAnyKind(join(lake, table, '_delta_log'))),
    )
    if (found.every((count) => count > 0)) return
    await sleep(100)
  }
  throw new Error('the tables were not loaded within two minutes')
}

async function endedEarly({ finished }: SluiceProcess): Promise<never> {
  const { exitCode, stderr } = await finished
  throw new Error(`sluice run ended with ${exitCode}: ${stderr}`)
}

async function versionsOfAnyKind(log: string): Promise<number> {
  return (await readdir(log).catch(() => [])).filter((name) => name.endsWith('.json')).length
}

function delaysMs(commits: readonly bigint[], versions: readonly Version[]): number[] {
  return commits.flatMap((commit) => {
    const shows = versions.find(({ coveredToUs }) => coveredToUs >= commit)
    return shows === undefined ? [] : [shows.visibleAtMs - Number(commit) / 1000]
  })
}

export const run: Bench = async ({ say }) => {
  const server = await startEmbeddedPostgres({ settings: { track_commit_timestamp: 'on' } })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  let child: WatchedRun | undefined
  const lake = join(folder, 'data', 'lake', 'main', 'copy')
  try {
    const size = await createShop(() => server.connect(), { rows: 200_000 })
    child = await startRun(server, folder, [])
    await Promise.race([untilLoaded(lake), endedEarly(child)])
    const connect = (): ReturnType<EmbeddedPostgres['connect']> => server.connect()
    const workload = startWorkload({ connect, size, changesPerSecond })
    // What was late because of the load or the first compilation is not what is measured.
    await sleep(5_000)
    const sinceUs = Date.now() * 1000
    await sleep(seconds * 1000)
    const counts = await workload.stop()
    await sleep(4_000)
    const delays: number[] = []
    let missing = 0
    for (const table of shopTables) {
      const commits = await commitTimes(server, table, sinceUs)
      const own = delaysMs(commits, await versionsOf(join(lake, table, '_delta_log')))
      missing += commits.length - own.length
      delays.push(...own)
    }
    child.kill('SIGTERM')
    const { exitCode, stderr } = await child.finished
    if (exitCode !== 0) throw new Error(`sluice run ended with ${exitCode}: ${stderr}`)
    delays.sort((a, b) => a - b)
    const percentile = (share: number): number =>
      (delays[Math.floor((delays.length - 1) * share)] ?? Number.NaN) / 1000
    say(
      `${delays.length} rows written in ${seconds} s (${counts.changes} changes in all), ` +
        `${missing} not visible after 4 s, slowest ${percentile(1).toFixed(2)} s, ` +
        `peak RSS ${Math.round(child.peakRssBytes() / 2 ** 20)} MiB`,
    )
    return [
      { name: 'commit to visible version, p50', value: percentile(0.5), unit: 's', goal: '≤ 1 s' },
      { name: 'commit to visible version, p99', value: percentile(0.99), unit: 's', goal: '≤ 3 s' },
    ]
  } finally {
    // Without effect when it ended as asked.
    child?.kill('SIGKILL')
    await child?.finished
    await rm(folder, { recursive: true })
    await server.stop()
  }
}
