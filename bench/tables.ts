/**
 * One gateway of a thousand tables: how long until it reads the log, the first time and after a
 * restart, and what it costs while nothing happens.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../src/quickstart/embedded-postgres.ts'
import { runChild } from './support/children.ts'
import type { GatewayJob, GatewayReport } from './support/gateway-process.ts'
import type { Bench } from './support/measure.ts'

/** Long enough for two looks at the source, which are 30 s apart, and one at the publication. */
const idleSeconds = 75

const createTables = (count: number): string => `
  do $do$ begin
    for t in 1 .. ${count} loop
      execute format('create table t%s (id bigint primary key, customer_id int not null, status text,
        amount numeric(12,2), created_at timestamptz not null, note varchar(200))', t);
      execute format('insert into t%s select g, g, ''new'', g, now(), null from generate_series(1, 10) g', t);
    end loop; end $do$`

export const run: Bench = async ({ rows: asked, rounds, say }) => {
  const count = asked ?? 1_000
  const server = await startEmbeddedPostgres({
    settings: { fsync: 'off', max_locks_per_transaction: '1024', shared_buffers: '256MB' },
  })
  const volume = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  try {
    await server.sql(createTables(count))
    const { port, password } = server
    const job: GatewayJob = {
      port,
      password,
      slot: 'bench',
      volume,
      settings: {},
      schema: 'public',
    }
    const first = await runChild<GatewayReport>('gateway-process', job)
    say(
      `${count} tables copied in ${first.wallSeconds.toFixed(1)} s, ${first.cpuSeconds.toFixed(1)} CPU s`,
    )
    const again = await runChild<GatewayReport>('gateway-process', {
      ...job,
      idleSeconds: rounds === 1 ? 20 : idleSeconds,
    })
    say(`idle at ${Math.round(again.idleRssBytes / 2 ** 20)} MiB`)
    return [
      {
        name: `first start with ${count} tables`,
        value: first.startSeconds,
        unit: 's',
        goal: '≤ 10 s',
      },
      {
        name: `restart with ${count} tables`,
        value: again.startSeconds,
        unit: 's',
        goal: '≤ 10 s',
      },
      {
        name: `gateway of ${count} tables, idle`,
        value: again.idleCores * 100,
        unit: '% of a core',
        goal: '≤ 1 %',
      },
    ]
  } finally {
    await rm(volume, { recursive: true })
    await server.stop()
  }
}
