/**
 * The shop of the quick start: nine tables that hold every common type, filled inside the server in
 * a few seconds. What it holds follows from the row number alone; only uuids are random.
 */
import type pg from 'pg'

export interface ShopSize {
  readonly customers: number
  readonly products: number
  readonly orders: number
  readonly reviews: number
  /** Of all tables together. */
  readonly rows: number
}

/** In the schema `public`, ascending. */
export const shopTables = [
  'addresses',
  'categories',
  'customers',
  'inventory',
  'order_items',
  'orders',
  'payments',
  'products',
  'reviews',
] as const

const categoryCount = 40
export const warehouses = ['BER1', 'LIS2', 'OSA3'] as const
const itemsPerOrder = 2

/** Sizes of the tables when all of them together are to have about `rows` rows. */
export function shopSize(rows: number): ShopSize {
  const customers = Math.max(10, Math.round(rows * 0.08))
  const products = Math.max(10, Math.round(rows * 0.01))
  const reviews = Math.max(10, Math.round(rows * 0.03))
  const rest = rows - 2 * customers - products * (1 + warehouses.length) - reviews - categoryCount
  // An order comes with its items, and two of three with a payment.
  const orders = Math.max(10, Math.ceil(rest / (1 + itemsPerOrder + 2 / 3)))
  const total =
    2 * customers +
    products * (1 + warehouses.length) +
    reviews +
    categoryCount +
    orders * (1 + itemsPerOrder) +
    (orders - Math.floor(orders / 3))
  return { customers, products, orders, reviews, rows: total }
}

const types = `
CREATE TYPE customer_tier AS ENUM ('basic', 'silver', 'gold', 'Zoë''s choice');
CREATE TYPE order_status AS ENUM ('placed', 'paid', 'shipped', 'delivered', 'returned');`

const tables = `
CREATE TABLE customers (
  id bigint NOT NULL,
  public_id uuid NOT NULL,
  email varchar(120) NOT NULL,
  name text NOT NULL,
  country char(2),
  tier customer_tier NOT NULL,
  is_active boolean NOT NULL,
  balance numeric(12,2) NOT NULL,
  birthday date,
  created_at timestamptz NOT NULL,
  preferences jsonb,
  avatar bytea
);
CREATE TABLE addresses (
  id integer NOT NULL,
  customer_id bigint NOT NULL,
  street text NOT NULL,
  city varchar(60) NOT NULL,
  postal_code varchar(12),
  latitude double precision,
  longitude double precision,
  is_default boolean NOT NULL
);
CREATE TABLE categories (
  id smallint NOT NULL,
  name varchar(60) NOT NULL,
  parent_id smallint
);
CREATE TABLE products (
  id integer NOT NULL,
  sku varchar(24) NOT NULL,
  name text NOT NULL,
  category_id smallint NOT NULL,
  price numeric(10,2) NOT NULL,
  weight_kg real,
  is_listed boolean NOT NULL,
  description text,
  attributes jsonb,
  photo bytea,
  updated_at timestamp NOT NULL
);
-- Long descriptions lie outside the row: updates of other columns do not send them.
ALTER TABLE products ALTER COLUMN description SET STORAGE EXTERNAL;
CREATE TABLE inventory (
  warehouse char(4) NOT NULL,
  product_id integer NOT NULL,
  quantity integer NOT NULL,
  reorder_level smallint,
  counted_on date
);
CREATE TABLE orders (
  id bigint NOT NULL,
  customer_id bigint NOT NULL,
  status order_status NOT NULL,
  currency char(3) NOT NULL,
  total numeric(12,2) NOT NULL,
  placed_at timestamptz NOT NULL,
  shipped_at timestamptz,
  note text,
  client json
);
CREATE TABLE order_items (
  order_id bigint NOT NULL,
  line smallint NOT NULL,
  product_id integer NOT NULL,
  quantity integer NOT NULL,
  unit_price numeric(10,2) NOT NULL,
  discount real
);
CREATE TABLE payments (
  id uuid NOT NULL,
  order_id bigint NOT NULL,
  amount numeric(18,4) NOT NULL,
  method text NOT NULL,
  paid_at timestamptz NOT NULL,
  is_refund boolean NOT NULL,
  provider json
);
CREATE TABLE reviews (
  id bigint NOT NULL,
  product_id integer NOT NULL,
  customer_id bigint NOT NULL,
  rating smallint NOT NULL,
  title varchar(80),
  body text,
  helpful integer NOT NULL,
  sentiment double precision,
  created_at timestamp NOT NULL
);
ALTER TABLE reviews ALTER COLUMN body SET STORAGE EXTERNAL;`

/** After the rows: one sort per table instead of an insert per row. */
const keys: Readonly<Record<(typeof shopTables)[number], string>> = {
  addresses: 'id',
  categories: 'id',
  customers: 'id',
  inventory: 'warehouse, product_id',
  order_items: 'order_id, line',
  orders: 'id',
  payments: 'id',
  products: 'id',
  reviews: 'id',
}

function fillStatements(size: ShopSize): Readonly<Record<(typeof shopTables)[number], string>> {
  const { customers, products, orders, reviews } = size
  return {
    customers: `INSERT INTO customers SELECT i, gen_random_uuid(), 'customer' || i || '@example.com',
      (ARRAY['Ada','Björn','Chloé','دانا','Émile','Федор','花子','O''Neil'])[1 + i % 8] || ' ' || i,
      CASE WHEN i % 17 = 0 THEN NULL ELSE (ARRAY['DE','PT','JP','US','BR'])[1 + i % 5] END,
      (enum_range(NULL::customer_tier))[1 + i % 4], i % 11 <> 0, (i % 100000)::numeric / 100 - 50,
      CASE WHEN i % 5 = 0 THEN NULL ELSE date '1940-01-01' + (i * 7 % 25000)::int END,
      timestamptz '2019-01-01 00:00:00+00' + i * interval '29 minutes 0.123456 seconds',
      CASE WHEN i % 3 = 0 THEN NULL
        ELSE jsonb_build_object('newsletter', i % 2 = 0, 'tags', jsonb_build_array('a', i)) END,
      CASE WHEN i % 4 = 0 THEN decode(md5(i::text), 'hex') END
      FROM generate_series(1, ${customers}) i`,
    addresses: `INSERT INTO addresses SELECT i, i, (i % 300) || ' Main Street',
      (ARRAY['Berlin','Lisboa','大阪','São Paulo','Zürich'])[1 + i % 5], lpad((i % 99999)::text, 5, '0'),
      -90 + (i % 180001) / 1000.0, -180 + (i % 360001) / 1000.0, true
      FROM generate_series(1, ${customers}) i`,
    categories: `INSERT INTO categories SELECT i, 'Category ' || i, CASE WHEN i > 8 THEN 1 + i % 8 END
      FROM generate_series(1, ${categoryCount}) i`,
    products: `INSERT INTO products SELECT i, 'SKU-' || lpad(i::text, 8, '0'), 'Product ' || i,
      1 + i % ${categoryCount}, (i % 99999 + 1)::numeric / 100,
      CASE WHEN i % 9 = 0 THEN NULL ELSE (i % 4000) / 100.0 END, i % 13 <> 0,
      CASE WHEN i % 8 = 0 THEN repeat(md5(i::text), 150) ELSE 'Short text of product ' || i END,
      jsonb_build_object('colour', (ARRAY['red','green','blue'])[1 + i % 3], 'size', i % 50),
      CASE WHEN i % 16 = 0 THEN decode(repeat(md5(i::text), 8), 'hex') END,
      timestamp '2024-01-01' + i * interval '1 minute'
      FROM generate_series(1, ${products}) i`,
    inventory: `INSERT INTO inventory SELECT w, i, i % 500, 20, date '2026-01-01' + i % 60
      FROM unnest(ARRAY['${warehouses.join("','")}']) w, generate_series(1, ${products}) i`,
    orders: `INSERT INTO orders SELECT i, 1 + i * 7 % ${customers}, (enum_range(NULL::order_status))[1 + i % 5],
      (ARRAY['EUR','USD','JPY'])[1 + i % 3], (i % 90000 + 100)::numeric / 100,
      timestamptz '2022-01-01 00:00:00+00' + i * interval '1 minute 0.000001 seconds',
      CASE WHEN i % 5 >= 2 THEN timestamptz '2022-01-02 00:00:00+00' + i * interval '1 minute' END,
      CASE WHEN i % 20 = 0 THEN E'leave at the door\\n"please"' END,
      CASE WHEN i % 6 = 0 THEN json_build_object('agent', 'app/' || i % 9, 'ip', '10.0.0.' || i % 255) END
      FROM generate_series(1, ${orders}) i`,
    order_items: `INSERT INTO order_items SELECT i, l, 1 + (i * 13 + l) % ${products}, 1 + (i + l) % 5,
      ((i + l) % 9999 + 1)::numeric / 100, CASE WHEN i % 7 = 0 THEN 0.1 END
      FROM generate_series(1, ${orders}) i, generate_series(1, ${itemsPerOrder}) l`,
    payments: `INSERT INTO payments SELECT gen_random_uuid(), i, (i % 90000 + 100)::numeric / 100,
      (ARRAY['card','transfer','wallet'])[1 + i % 3],
      timestamptz '2022-01-01 00:10:00+00' + i * interval '1 minute', i % 50 = 0,
      CASE WHEN i % 10 = 0 THEN json_build_object('code', i % 7) END
      FROM generate_series(1, ${orders}) i WHERE i % 3 <> 0`,
    reviews: `INSERT INTO reviews SELECT i, 1 + i * 3 % ${products}, 1 + i * 11 % ${customers}, 1 + i % 5,
      CASE WHEN i % 10 <> 0 THEN 'Review ' || i END,
      CASE WHEN i % 25 = 0 THEN repeat(md5(i::text), 100) ELSE 'It is ' || md5(i::text) END,
      i % 40, CASE WHEN i % 12 = 0 THEN 'NaN'::float8 ELSE sin(i) END,
      timestamp '2023-01-01' + i * interval '3 minutes'
      FROM generate_series(1, ${reviews}) i`,
  }
}

/** Creates and fills the tables; several connections fill at once. Resolves to the sizes. */
export async function createShop(
  connect: () => Promise<pg.Client>,
  options: { readonly rows: number },
): Promise<ShopSize> {
  const size = shopSize(options.rows)
  const fills = fillStatements(size)
  const first = await connect()
  try {
    await first.query(types + tables)
  } finally {
    await first.end()
  }
  // The biggest first, so that the connections end at about the same time.
  const waiting = [...shopTables].toSorted(
    (a, b) => ['order_items', 'orders'].indexOf(b) - ['order_items', 'orders'].indexOf(a),
  )
  const fill = async (): Promise<void> => {
    const client = await connect()
    try {
      await client.query("SET maintenance_work_mem = '128MB'; SET synchronous_commit = off")
      for (let table = waiting.shift(); table !== undefined; table = waiting.shift()) {
        await client.query(fills[table])
        await client.query(`ALTER TABLE ${table} ADD PRIMARY KEY (${keys[table]})`)
        await client.query(`ANALYZE ${table}`)
      }
    } finally {
      await client.end()
    }
  }
  await Promise.all([fill(), fill()])
  return size
}
