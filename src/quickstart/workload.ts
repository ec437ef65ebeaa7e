/**
 * A shop at work: short transactions over several tables at a steady rate. Among them changes of
 * keys, updates that leave long values alone, deletes, rollbacks and partial rollbacks.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { warehouses, type ShopSize } from './shop-schema.ts'

export interface WorkloadCounts {
  /** Row changes of committed transactions. */
  readonly changes: number
  /** Committed ones. */
  readonly transactions: number
  readonly rollbacks: number
}

export interface Workload {
  counts(): WorkloadCounts
  /** Ends after the open transactions. Rejects when the workload had failed before. */
  stop(): Promise<WorkloadCounts>
  /** Rejects when the workload fails; never resolves before `stop`. */
  readonly done: Promise<void>
}

export interface WorkloadOptions {
  readonly connect: () => Promise<pg.Client>
  readonly size: ShopSize
  readonly changesPerSecond: number
  /** Default 4: a commit waits for the disk, and the others go on. */
  readonly connections?: number
  /** Default 1: the same choices every time; another seed also makes other new keys. */
  readonly seed?: number
}

/** Between 0 and 1; good enough to choose a product (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One connection's view while it works. */
interface Shopper {
  readonly client: pg.Client
  readonly random: () => number
  readonly size: ShopSize
  /** New keys of this connection never meet those of another. */
  nextId(): number
}

type Action = (shopper: Shopper) => Promise<number>

function below(shopper: Shopper, limit: number): number {
  return Math.floor(shopper.random() * limit)
}

async function change(
  { client }: Shopper,
  sql: string,
  values: readonly unknown[] = [],
): Promise<number> {
  return (await client.query(sql, [...values])).rowCount ?? 0
}

async function placeOrder(shopper: Shopper): Promise<number> {
  const { size } = shopper
  const order = shopper.nextId()
  const lines = 1 + below(shopper, 5)
  const product = 1 + below(shopper, size.products)
  let changes = await change(
    shopper,
    `INSERT INTO orders VALUES ($1, $2, 'placed', 'EUR', $3, clock_timestamp(), NULL, NULL, '{"agent":"web"}')`,
    [order, 1 + below(shopper, size.customers), (1 + below(shopper, 50_000)) / 100],
  )
  changes += await change(
    shopper,
    `INSERT INTO order_items SELECT $1, l, 1 + ($2::int + l) % $3::int, 1 + l % 3, 9.99 + l, NULL
     FROM generate_series(1, $4::int) l`,
    [order, product, size.products, lines],
  )
  changes += await change(
    shopper,
    `INSERT INTO payments VALUES (gen_random_uuid(), $1, 9.9999, 'card', clock_timestamp(), false, NULL)`,
    [order],
  )
  changes += await change(
    shopper,
    'UPDATE inventory SET quantity = quantity - 1 WHERE warehouse = $1 AND product_id = $2',
    [warehouses[below(shopper, warehouses.length)], product],
  )
  return changes
}

const actions: readonly (readonly [weight: number, action: Action])[] = [
  [30, placeOrder],
  [
    20,
    (shopper) =>
      change(
        shopper,
        `UPDATE orders SET status = 'shipped', shipped_at = clock_timestamp() WHERE id = $1`,
        [1 + below(shopper, shopper.size.orders)],
      ),
  ],
  [
    // Leaves the long description alone.
    12,
    (shopper) =>
      change(
        shopper,
        'UPDATE products SET price = price + 0.01, updated_at = now() WHERE id = $1',
        [8 * (1 + below(shopper, Math.max(1, Math.floor(shopper.size.products / 8))))],
      ),
  ],
  [
    2,
    (shopper) =>
      change(
        shopper,
        `UPDATE products SET description = repeat(md5($2::text), 150) WHERE id = $1`,
        [1 + below(shopper, shopper.size.products), below(shopper, 1_000_000)],
      ),
  ],
  [
    10,
    (shopper) =>
      change(shopper, 'UPDATE customers SET balance = balance - 1.25, tier = $2 WHERE id = $1', [
        1 + below(shopper, shopper.size.customers),
        ['basic', 'silver', 'gold', "Zoë's choice"][below(shopper, 4)],
      ]),
  ],
  [
    // A key changes, and with it a row that keeps its long text.
    3,
    (shopper) =>
      change(shopper, 'UPDATE reviews SET id = $2, helpful = helpful + 1 WHERE id = $1', [
        25 * (1 + below(shopper, Math.max(1, Math.floor(shopper.size.reviews / 25)))),
        shopper.nextId(),
      ]),
  ],
  [
    6,
    (shopper) =>
      change(
        shopper,
        `INSERT INTO reviews VALUES ($1, $2, 1, 5, 'nice', repeat('žluťoučký ', $3::int), 0, 0.5, now())`,
        [shopper.nextId(), 1 + below(shopper, shopper.size.products), below(shopper, 600)],
      ),
  ],
  [
    3,
    (shopper) =>
      change(shopper, 'DELETE FROM reviews WHERE id = $1', [
        1 + below(shopper, shopper.size.reviews),
      ]),
  ],
  [
    3,
    async (shopper) => {
      const order = [1 + below(shopper, shopper.size.orders)]
      const items = await change(shopper, 'DELETE FROM order_items WHERE order_id = $1', order)
      return items + (await change(shopper, 'DELETE FROM orders WHERE id = $1', order))
    },
  ],
  [
    // What happens after the savepoint never happened.
    4,
    async (shopper) => {
      const kept = await placeOrder(shopper)
      await shopper.client.query('SAVEPOINT s')
      await change(shopper, 'DELETE FROM customers WHERE id = $1', [1])
      await shopper.client.query('ROLLBACK TO SAVEPOINT s')
      return kept
    },
  ],
]

const totalWeight = actions.reduce((sum, [weight]) => sum + weight, 0)
/** One transaction of so many is rolled back. */
const rollbackEvery = 25
/** Serialization failure, deadlock: the server chose us, we go on. */
const retryable = new Set(['40001', '40P01'])

export function startWorkload(options: WorkloadOptions): Workload {
  const connections = options.connections ?? 4
  const counts = { changes: 0, transactions: 0, rollbacks: 0 }
  const controller = new AbortController()
  const begunAtMs = performance.now()
  const isAhead = (): boolean =>
    counts.changes * 1000 > options.changesPerSecond * (performance.now() - begunAtMs)
  const work = async (number: number): Promise<void> => {
    const client = await options.connect()
    let id = 1_000_000_000 * ((options.seed ?? 1) * 100 + number)
    const shopper: Shopper = {
      client,
      random: createRandom((options.seed ?? 1) * 1000 + number),
      size: options.size,
      nextId: () => ++id,
    }
    try {
      while (!controller.signal.aborted) {
        if (isAhead()) await pause(5)
        else await runTransaction(shopper, counts)
      }
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  const workers = Array.from({ length: connections }, (_, index) => work(index + 1))
  const done = Promise.all(workers).then(() => undefined)
  // Whoever stops the workload sees the failure; until then it must not count as unhandled.
  done.catch(() => controller.abort())
  return {
    counts: () => ({ ...counts }),
    done,
    stop: async () => {
      controller.abort()
      await Promise.allSettled(workers)
      await done
      return { ...counts }
    },
  }
}

async function runTransaction(
  shopper: Shopper,
  counts: { changes: number; transactions: number; rollbacks: number },
): Promise<void> {
  let draw = shopper.random() * totalWeight
  const action = actions.find(([weight]) => (draw -= weight) < 0)?.[1] ?? placeOrder
  const isUndone = below(shopper, rollbackEvery) === 0
  await shopper.client.query('BEGIN')
  try {
    const changes = await action(shopper)
    await shopper.client.query(isUndone ? 'ROLLBACK' : 'COMMIT')
    if (isUndone) counts.rollbacks++
    else {
      counts.transactions++
      counts.changes += changes
    }
  } catch (error) {
    if (!retryable.has((error as { code?: string }).code ?? '')) throw error
    await shopper.client.query('ROLLBACK')
    counts.rollbacks++
  }
}
