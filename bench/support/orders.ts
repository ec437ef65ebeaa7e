/** The table of the benches: twelve mixed columns, about 220 bytes a row, filled by row number. */

export const createOrders = `
  create table orders (
    id bigint primary key,
    customer_id integer not null,
    status text not null,
    quantity smallint not null,
    amount numeric(12,2) not null,
    rate double precision,
    is_paid boolean not null,
    order_day date not null,
    created_at timestamptz not null,
    updated_at timestamp,
    reference uuid not null,
    note varchar(200)
  )`

/** Arguments are SQL expressions: both ends of the range of ids count. */
export const insertOrders = (first: string | number, last: string | number): string => `
  insert into orders
  select i, (i * 7919) % 1000000, (array['new','paid','shipped','delivered','returned'])[1 + i % 5],
    i % 1000, ((i * 104729) % 99999999)::numeric / 100, (i % 100000) / 128.0,
    i % 3 = 0, date '2015-01-01' + (i % 4000)::int,
    timestamptz '2020-01-01 00:00:00+00' + (i * 1234567) * interval '1 microsecond',
    case when i % 10 > 0 then timestamp '2021-06-01' + (i * 7654321) * interval '1 microsecond' end,
    md5(i::text)::uuid,
    case when i % 20 > 0 then 'Left at the door, ' || repeat('please ring ', (i % 5)::int) || i end
  from generate_series((${first})::bigint, ${last}) i`
