/**
 * Changes of PostgreSQL → durable staging through the real source, gateway and staging, against
 * `pg_recvlogical` that throws the same stream of an identical slot away. Each run is a process of
 * its own and reads from the same place of the log.
 */
import { existsSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../src/quickstart/embedded-postgres.ts'
import { type ProgramCost, runChild, runProgram } from './support/children.ts'
import type { GatewayJob, GatewayReport } from './support/gateway-process.ts'
import { type Bench, type Measurement, median } from './support/measure.ts'
import { insertOrders } from './support/orders.ts'
import { long, ordinary as ordinaryTable, type Shape, wide } from './support/shapes.ts'

const program = '/usr/bin/pg_recvlogical'
const slot = 'bench'

interface Workload {
  readonly name: string
  readonly shape: Shape
  /** Of the ratio to the raw limit. */
  readonly goal: number
  readonly sql: (rows: number) => string
}

/** Of 100 changes 70 inserts, 20 updates and 10 deletes in each transaction. */
const ordinary: Workload = {
  name: 'transactions of 100 changes',
  shape: ordinaryTable,
  goal: 0.9,
  sql: (rows) => `do $do$ begin
    for t in 0 .. ${Math.ceil(rows / 100)} - 1 loop
      ${insertOrders('t * 70 + 1', 't * 70 + 70')};
      update orders set quantity = quantity + 1, updated_at = timestamp '2024-01-01'
        where id > t * 70 and id <= t * 70 + 20;
      delete from orders where id > t * 70 + 20 and id <= t * 70 + 30;
      commit;
    end loop; end $do$`,
}

const large: Workload = {
  name: 'one transaction',
  shape: ordinaryTable,
  goal: 0.9,
  sql: (rows) => insertOrders(100_000_001, 100_000_000 + rows),
}

/** Inserts of other rows, a hundred in each transaction. */
const insertsOf = (shape: Shape): Workload => ({
  name: `inserts, ${shape.name}`,
  shape,
  goal: 0.7,
  sql: (rows) => `do $do$ begin
    for t in 0 .. ${Math.ceil(rows / 100)} - 1 loop
      ${shape.insert('t * 100 + 1', 't * 100 + 100')};
      commit;
    end loop; end $do$`,
})

interface Course {
  readonly server: EmbeddedPostgres
  /** Staging as it was before the changes. */
  readonly before: string
  readonly end: string
}

/** Lets a gateway take the empty table, keeps its slot as it is then, and makes the changes. */
async function prepare(server: EmbeddedPostgres, work: Workload, rows: number): Promise<Course> {
  const before = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  await server.sql(`drop table if exists orders; ${work.shape.create}`)
  await runChild<GatewayReport>('gateway-process', jobOf(server, before))
  await server.sql(`select pg_copy_logical_replication_slot('${slot}', 'kept')`)
  await server.sql(work.sql(rows))
  await server.sql('checkpoint')
  const [row] = await server.sql('select pg_current_wal_insert_lsn()::text as lsn')
  return { server, before, end: String(row?.['lsn']) }
}

function jobOf({ port, password }: EmbeddedPostgres, volume: string): GatewayJob {
  return { port, password, slot, volume, settings: {} }
}

async function freshSlot(server: EmbeddedPostgres): Promise<void> {
  await server.sql(`select pg_drop_replication_slot('${slot}')`)
  await server.sql(`select pg_copy_logical_replication_slot('kept', '${slot}')`)
}

async function receive({ server, end }: Course): Promise<ProgramCost> {
  await freshSlot(server)
  const options = ['-o', 'proto_version=1', '-o', `publication_names=${slot}`]
  const place = ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres', '-d', 'postgres']
  return await runProgram(
    program,
    [...place, '-S', slot, '--start', '-n', '-f', '/dev/null', '--endpos', end, ...options],
    { PGPASSWORD: server.password },
  )
}

async function stage({ server, before }: Course): Promise<GatewayReport> {
  await freshSlot(server)
  const volume = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  try {
    await cp(before, volume, { recursive: true })
    return await runChild<GatewayReport>('gateway-process', jobOf(server, volume))
  } finally {
    await rm(volume, { recursive: true })
  }
}

interface Sizes {
  readonly rows: number
  readonly rounds: number
  readonly hasProgram: boolean
  readonly say: (line: string) => void
}

async function compare(
  server: EmbeddedPostgres,
  work: Workload,
  { rows, rounds, hasProgram, say }: Sizes,
): Promise<readonly Measurement[]> {
  const course = await prepare(server, work, rows)
  const staged: GatewayReport[] = []
  const received: ProgramCost[] = []
  // One round of warm-up: the server reads its log from the disk only once.
  for (let round = -1; round < rounds; round++) {
    const limit = hasProgram ? await receive(course) : undefined
    const own = await stage(course)
    if (own.changes !== rows) throw new Error(`${own.changes} changes staged instead of ${rows}`)
    if (round < 0) continue
    staged.push(own)
    if (limit !== undefined) received.push(limit)
  }
  await server.sql(`select pg_drop_replication_slot('${slot}'), pg_drop_replication_slot('kept')`)
  await server.sql(`drop publication ${slot}`)
  await rm(course.before, { recursive: true })
  const millions = rows / 1e6
  const wall = median(staged.map(({ wallSeconds }) => wallSeconds))
  const cpu = median(staged.map(({ cpuSeconds }) => cpuSeconds)) / millions
  const thread = median(staged.map(({ threadSeconds }) => threadSeconds)) / millions
  const limitWall = median(received.map(({ wallSeconds }) => wallSeconds))
  const limitCpu = median(received.map(({ cpuSeconds }) => cpuSeconds)) / millions
  const peak = Math.max(...staged.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20
  say(
    `${work.name}: main thread ${thread.toFixed(2)} CPU s per 1 M rows, peak RSS ${Math.round(peak)} MiB`,
  )
  const limits = hasProgram
    ? {
        limit: rows / limitWall,
        limitName: 'pg_recvlogical',
        goal: `≥ ${work.goal} × pg_recvlogical`,
      }
    : {}
  return [
    {
      name: `changes to staging, ${work.name}`,
      value: rows / wall,
      unit: 'rows/s',
      ...limits,
    },
    {
      name: `its CPU, ${work.name}`,
      value: cpu,
      unit: 's per 1 M rows',
      ...(hasProgram ? { limit: limitCpu, limitName: 'pg_recvlogical' } : {}),
      ...(work.shape === ordinaryTable ? { goal: '≤ 1 s' } : {}),
    },
  ]
}

/** A multiple of a transaction's rows. */
function sizesOf(sizes: Sizes, { weight }: Shape): Sizes {
  return { ...sizes, rows: Math.ceil(sizes.rows / weight / 100) * 100 }
}

export const run: Bench = async ({ rows: asked, rounds: wanted, say }) => {
  const rows = Math.ceil((asked ?? 200_000) / 100) * 100
  const rounds = wanted ?? 3
  const hasProgram = existsSync(program)
  if (!hasProgram) say(`SKIPPED the comparison: ${program} is not there (postgresql-client)`)
  const server = await startEmbeddedPostgres({
    settings: {
      fsync: 'off',
      shared_buffers: '512MB',
      max_wal_size: '8GB',
      logical_decoding_work_mem: '64MB',
    },
  })
  try {
    const sizes = { rows, rounds, hasProgram, say }
    return [
      ...(await compare(server, ordinary, sizes)),
      ...(await compare(server, large, { ...sizes, rounds: Math.min(rounds, 2) })),
      ...(await compare(server, insertsOf(wide), sizesOf(sizes, wide))),
      ...(await compare(server, insertsOf(long), sizesOf(sizes, long))),
    ]
  } finally {
    await server.stop()
  }
}
