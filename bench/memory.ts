/**
 * What `sluice run --once` holds at most: while it loads the shop of the quick start, and while it
 * stages and applies one transaction of a million rows.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../src/quickstart/embedded-postgres.ts'
import { createShop } from '../src/quickstart/shop-schema.ts'
import type { Bench } from './support/measure.ts'
import { createOrders, insertOrders } from './support/orders.ts'
import { runToEnd } from './support/sluice-run.ts'

export const run: Bench = async ({ rows: asked, say }) => {
  const rows = asked ?? 1_000_000
  const server = await startEmbeddedPostgres({
    settings: { fsync: 'off', max_wal_size: '4GB', shared_buffers: '256MB' },
  })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  try {
    const shop = await createShop(() => server.connect(), { rows: 1_200_000 })
    await server.sql(createOrders.replace('table orders', 'table big'))
    const loading = await runToEnd(server, folder)
    say(`${shop.rows} rows of the shop loaded: ${Math.round(loading / 2 ** 20)} MiB`)
    await server.sql(insertOrders(1, rows).replace('insert into orders', 'insert into big'))
    const following = await runToEnd(server, folder)
    return [
      {
        name: `peak RSS of a load of ${shop.rows} rows`,
        value: loading / 2 ** 20,
        unit: 'MiB',
        goal: '≤ 400 MiB',
      },
      {
        name: `peak RSS of one transaction of ${rows} rows`,
        value: following / 2 ** 20,
        unit: 'MiB',
        goal: '≤ 400 MiB',
      },
    ]
  } finally {
    await rm(folder, { recursive: true })
    await server.stop()
  }
}
