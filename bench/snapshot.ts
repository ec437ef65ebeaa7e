/**
 * PostgreSQL → staged Parquet through the real source, gateway and staging, against plain sockets
 * that drain the same COPY statements over as many connections. Each run is a process of its own.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../src/quickstart/embedded-postgres.ts'
import { rangeSql, splitRange } from '../src/source/postgres/block-ranges.ts'
import { chunkBlocks } from '../src/source/postgres/copy-chunks.ts'
import { runChild } from './support/children.ts'
import type { DrainJob, DrainReport } from './support/drain-process.ts'
import type { GatewayJob, GatewayReport } from './support/gateway-process.ts'
import { type Bench, type Measurement, median } from './support/measure.ts'
import { long, ordinary, type Shape, wide } from './support/shapes.ts'

const connectionCounts = [1, 2]

/** The statements of a copy of the table, as the source cuts it. */
async function copyStatements(server: EmbeddedPostgres): Promise<string[]> {
  const [row] = await server.sql(`select pg_relation_size('orders') / 8192 as blocks,
    (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
     where attrelid = 'orders'::regclass and attnum > 0) as columns`)
  const blocks = Number(row?.['blocks'])
  const sizes = { chunkBytes: 64 * 2 ** 20, blockBytes: 8192 }
  const all = { from: 0, to: undefined }
  const columns = String(row?.['columns'])
  return splitRange(all, blocks, chunkBlocks(blocks, sizes, true)).map((range) => {
    const where = rangeSql(range)
    if (where === undefined) return `COPY orders (${columns}) TO STDOUT`
    return `COPY (SELECT ${columns} FROM ONLY orders WHERE ${where}) TO STDOUT`
  })
}

/**
 * CPU seconds of the server's processes that have ended, user and system: proc(5), fields 16 and 17
 * of its first process.
 */
async function serverCpuSeconds({ folder }: EmbeddedPostgres): Promise<number> {
  // A process whose client has gone needs a moment to end.
  await sleep(500)
  const pid = (await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[13]) + Number(fields[14])) / 100
}

async function copyOnce(server: EmbeddedPostgres, connections: number): Promise<GatewayReport> {
  const volume = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  const slot = `bench_${connections}`
  const { port, password } = server
  const settings = { snapshotWorkers: connections }
  const job: GatewayJob = { port, password, slot, volume, settings }
  try {
    return await runChild<GatewayReport>('gateway-process', job)
  } finally {
    await rm(volume, { recursive: true })
    await server.sql(`select pg_drop_replication_slot('${slot}')`)
    await server.sql(`drop publication ${slot}`)
  }
}

async function compare(
  server: EmbeddedPostgres,
  statements: readonly string[],
  options: { readonly connections: number; readonly rounds: number },
): Promise<{ copies: GatewayReport[]; drains: DrainReport[]; serverCpu: number[] }> {
  const { connections, rounds } = options
  const copies: GatewayReport[] = []
  const drains: DrainReport[] = []
  const serverCpu: number[] = []
  for (let round = 0; round < rounds; round++) {
    const job: DrainJob = { port: server.port, statements, connections }
    const before = await serverCpuSeconds(server)
    drains.push(await runChild<DrainReport>('drain-process', job))
    serverCpu.push((await serverCpuSeconds(server)) - before)
    copies.push(await copyOnce(server, connections))
  }
  return { copies, drains, serverCpu }
}

async function measure(
  server: EmbeddedPostgres,
  shape: Shape,
  { rows, rounds, say }: { rows: number; rounds: number; say: (line: string) => void },
): Promise<readonly Measurement[]> {
  await server.sql(`drop table if exists orders; ${shape.create}`)
  await server.sql(shape.insert(1, rows))
  await server.sql('vacuum (freeze, analyze) orders')
  await server.sql('checkpoint')
  const statements = await copyStatements(server)
  await runChild<DrainReport>('drain-process', { port: server.port, statements, connections: 2 })
  const measurements: Measurement[] = []
  for (const connections of shape === ordinary ? connectionCounts : [1]) {
    const { copies, drains, serverCpu } = await compare(server, statements, {
      connections,
      rounds,
    })
    const copied = median(copies.map(({ copySeconds }) => copySeconds))
    const drained = median(drains.map(({ wallSeconds }) => wallSeconds))
    const cpu = median(copies.map(({ cpuSeconds }) => cpuSeconds)) / (rows / 1e6)
    const thread = median(copies.map(({ threadSeconds }) => threadSeconds)) / (rows / 1e6)
    const servers = median(serverCpu) / (rows / 1e6)
    const drainCpu = median(drains.map(({ cpuSeconds }) => cpuSeconds)) / (rows / 1e6)
    const peak = Math.max(...copies.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20
    const whole = median(copies.map(({ wallSeconds }) => wallSeconds))
    const megabytes = (drains[0]?.bytes ?? 0) / 1e6
    say(
      `${shape.name}, ${connections} connections, ${rows} rows of ${Math.round((megabytes * 1e6) / rows)} bytes, ` +
        `${statements.length} chunks, ${Math.round(megabytes / copied)} MB/s: CPU per 1 M rows ${cpu.toFixed(2)} s (main thread ${thread.toFixed(2)} s), ` +
        `drain ${drainCpu.toFixed(2)} s, the server for it ${servers.toFixed(2)} s; peak RSS ${Math.round(peak)} MiB; whole run ${whole.toFixed(2)} s`,
    )
    measurements.push({
      name: `snapshot to staging, ${shape.name}, ${connections} connection(s)`,
      value: rows / copied,
      unit: 'rows/s',
      limit: rows / drained,
      limitName: 'raw socket drain',
      goal: shape === ordinary ? '≥ 0.8 × drain' : '≥ 0.7 × drain',
    })
  }
  return measurements
}

export const run: Bench = async ({ rows: asked, rounds: wanted, say }) => {
  const rows = asked ?? 1_000_000
  const rounds = wanted ?? 3
  const server = await startEmbeddedPostgres({
    settings: { fsync: 'off', shared_buffers: '1GB', max_wal_size: '4GB' },
    hba: ['host all all 127.0.0.1/32 trust'],
  })
  try {
    const measurements: Measurement[] = []
    for (const shape of [ordinary, wide, long]) {
      const sizes = { rows: Math.ceil(rows / shape.weight), rounds, say }
      measurements.push(...(await measure(server, shape, sizes)))
    }
    return measurements
  } finally {
    await server.stop()
  }
}
