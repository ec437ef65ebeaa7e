/** Tables that the benches of the source run over, all named `orders`, filled by row number. */
import { createOrders, insertOrders } from './orders.ts'

export interface Shape {
  readonly name: string
  readonly create: string
  /** Rows of these ids, both ends included; arguments are SQL expressions. */
  readonly insert: (first: string | number, last: string | number) => string
  /** How many rows of `orders` one of these is worth, so that a run takes about as long. */
  readonly weight: number
}

export const ordinary: Shape = {
  name: '12 columns',
  create: createOrders,
  insert: insertOrders,
  weight: 1,
}

const kinds = [
  ['int', (n: number) => `(i * ${7919 + n}) % 1000000`],
  ['text', (n: number) => `'value ' || (i + ${n}) % 1000`],
  ['numeric(12,2)', (n: number) => `((i * ${104729 + n}) % 99999999)::numeric / 100`],
  ['timestamptz', (n: number) => `timestamptz '2020-01-01' + (i + ${n}) * interval '1 second'`],
  ['boolean', (n: number) => `i % ${n + 2} = 0`],
] as const

const wideColumns = Array.from({ length: 99 }, (_, n) => {
  const [type, value] = kinds[n % kinds.length] ?? kinds[0]
  return { name: `c${n}`, type, value: value(n) }
})

/** A hundred columns, one in five of each kind. */
export const wide: Shape = {
  name: '100 columns',
  create: `create table orders (id bigint primary key, ${wideColumns.map(({ name, type }) => `${name} ${type}`).join(', ')})`,
  insert: (first, last) => `insert into orders
    select i, ${wideColumns.map(({ value }) => value).join(', ')}
    from generate_series((${first})::bigint, ${last}) i`,
  weight: 8,
}

/** Rows of a kilobyte, nearly all of it one text that does not repeat. */
export const long: Shape = {
  name: 'rows of 1 kB',
  create:
    'create table orders (id bigint primary key, at timestamptz not null, body text not null)',
  insert: (first, last) => `insert into orders
    select i, timestamptz '2020-01-01' + i * interval '1 second',
      (select string_agg(md5((i * 32 + part)::text), '') from generate_series(1, 30) part)
    from generate_series((${first})::bigint, ${last}) i`,
  weight: 4,
}
