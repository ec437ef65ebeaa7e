/**
 * A random but repeatable workload for a PostgreSQL source: several sessions whose transactions
 * overlap, chosen by one seed. Sessions own disjoint keys, so no statement waits for another
 * session and the order of commits is the same in every run of a seed.
 */
import type pg from 'pg'
import { createRandom, type Random } from './random.ts'

export const workloadTables = [
  'hot',
  'wide',
  'bulk',
  'journal',
  'cleared',
  'pair_a',
  'pair_b',
] as const

const schemaSql = `
  CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'it''s "complicated"');
  CREATE TABLE hot (id int PRIMARY KEY, v text, n numeric(12,2), at timestamptz, flag bool);
  CREATE TABLE wide (
    k1 text, k2 int, b bool, s smallint, i int, l bigint, f4 real, f8 double precision,
    n numeric(30,8), free numeric, c char(5), vc varchar(40), by bytea, d date, ts timestamp,
    tz timestamptz, u uuid, j json, jb jsonb, m mood, big text, note text,
    PRIMARY KEY (k1, k2));
  ALTER TABLE wide ALTER COLUMN big SET STORAGE EXTERNAL;
  CREATE TABLE bulk (id bigint PRIMARY KEY, payload text, x double precision);
  CREATE TABLE journal (id bigint PRIMARY KEY, what text NOT NULL);
  CREATE TABLE cleared (id int PRIMARY KEY, v text);
  -- Every transaction leaves the sum of amounts at zero and both tables alike.
  CREATE TABLE pair_a (id int PRIMARY KEY, amount bigint NOT NULL);
  CREATE TABLE pair_b (id int PRIMARY KEY, amount bigint NOT NULL);
`

export interface WorkloadOptions {
  readonly seed: number
  /** Control connections, one per session; the workload does not end them. */
  readonly sessions: readonly pg.Client[]
  /** Rows of the largest transactions. */
  readonly bulkRows: number
}

export interface RandomWorkload {
  createTables(): Promise<void>
  /** Runs until `count` more transactions have ended (committed or rolled back). */
  run(count: number): Promise<void>
  /** Ends open transactions. */
  finish(): Promise<void>
  /** One transaction that changes very many rows. */
  runBulk(): Promise<void>
  /** After the server went away: open transactions are forgotten, the new connections taken. */
  reconnect(sessions: readonly pg.Client[]): void
  readonly transactions: number
  readonly bulkTransactions: number
}

interface Session {
  client: pg.Client
  readonly number: number
  /** Statements still to come in the open transaction; undefined: none is open. */
  pending: string[] | undefined
}

/** Keys of a session: n × sessions + number. */
class StatementMaker {
  readonly #random: Random
  readonly #sessions: number
  readonly #bulkRows: number
  #journal = 0

  constructor(random: Random, sessions: number, bulkRows: number) {
    this.#random = random
    this.#sessions = sessions
    this.#bulkRows = bulkRows
  }

  #key(session: Session, range: number): number {
    return this.#random.int(0, range) * this.#sessions + session.number
  }

  /** One statement that cannot fail. */
  statement(session: Session): string {
    const kind = this.#random.int(0, 100)
    if (kind < 10) return this.#pair(session)
    if (kind < 42) return this.#hot(session)
    if (kind < 75) return this.#wide(session)
    if (kind < 90)
      return `INSERT INTO journal VALUES (${++this.#journal}, 'event ${this.#random.int(0, 9)}')`
    return this.#cleared(session)
  }

  /** The same on both tables; amounts only move between rows. */
  #pair(session: Session): string {
    const from = this.#key(session, 40)
    const to = this.#key(session, 40)
    const amount = this.#random.int(1, 1000)
    const kind = this.#random.int(0, 6)
    const statements = ['pair_a', 'pair_b'].map((table) => {
      const add = `ON CONFLICT (id) DO UPDATE SET amount = ${table}.amount + excluded.amount`
      if (kind === 0) {
        return `UPDATE ${table} SET id = ${to} WHERE id = ${from} AND NOT EXISTS (SELECT FROM ${table} WHERE id = ${to})`
      }
      if (kind === 1 && from !== to) {
        return `INSERT INTO ${table} SELECT ${to}, amount FROM ${table} WHERE id = ${from} ${add};
          DELETE FROM ${table} WHERE id = ${from}`
      }
      return `INSERT INTO ${table} VALUES (${from}, ${-amount}) ${add}; INSERT INTO ${table} VALUES (${to}, ${amount}) ${add}`
    })
    return statements.join('; ')
  }

  #hot(session: Session): string {
    const id = this.#key(session, 60)
    const other = this.#key(session, 60)
    switch (this.#random.int(0, 6)) {
      case 0:
        return `DELETE FROM hot WHERE id = ${id}`
      case 1:
        return `UPDATE hot SET id = ${other} WHERE id = ${id} AND NOT EXISTS (SELECT FROM hot WHERE id = ${other})`
      case 2:
        return `UPDATE hot SET n = n + 0.01, flag = NOT flag WHERE id = ${id}`
      case 3:
        return `DELETE FROM hot WHERE id = ${id}; INSERT INTO hot VALUES (${id}, 'again', -1.5, '2001-02-03 04:05:06.789+02', NULL)`
      default:
        return `INSERT INTO hot VALUES (${id}, ${this.#text()}, ${this.#random.int(-99999, 99999)}.25, to_timestamp(${this.#random.int(0, 2000000000)}.125), ${this.#random.pick(['true', 'false', 'NULL'])})
          ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = excluded.n, at = excluded.at`
    }
  }

  #wide(session: Session): string {
    const key = `k1 = ${this.#wideKey(session)} AND k2 = ${this.#random.int(0, 12)}`
    switch (this.#random.int(0, 7)) {
      case 0:
        return `DELETE FROM wide WHERE ${key}`
      case 1:
        return `UPDATE wide SET note = ${this.#text()}, i = i # 1 WHERE ${key}`
      case 2: {
        const to = this.#random.int(0, 12)
        return `UPDATE wide SET k2 = ${to} WHERE ${key} AND NOT EXISTS (SELECT FROM wide w WHERE w.k1 = wide.k1 AND w.k2 = ${to})`
      }
      case 3:
        return `UPDATE wide SET big = ${this.#big()} WHERE ${key}`
      default:
        return this.#wideUpsert(session)
    }
  }

  #wideKey(session: Session): string {
    return `'${this.#random.pick(['a', 'ä', 'Z z', "q''uote", '😀', 'NULL', ''])}-${session.number}'`
  }

  #wideUpsert(session: Session): string {
    const r = this.#random
    const values = [
      this.#wideKey(session),
      String(r.int(0, 12)),
      r.pick(['true', 'false', 'NULL']),
      r.pick(['-32768', '32767', '0', 'NULL']),
      r.pick(['-2147483648', '2147483647', '7', '0']),
      r.pick(['-9223372036854775808', '9223372036854775807', '9007199254740993', 'NULL']),
      r.pick(["'NaN'", "'-Infinity'", '1.1', "'-0'", '3.4028235e38', '1e-45', 'NULL']),
      r.pick([
        "'Infinity'",
        '0.1',
        '1.7976931348623157e308',
        '5e-324',
        "'-0'",
        '123456789.123456789',
        'NULL',
      ]),
      r.pick(['0', '-0.00000001', '9999999999999999999999.99999999', '1.5', 'NULL']),
      r.pick(['1e50', '0.000', '-123456789012345678901234567890.5', "'NaN'", 'NULL']),
      r.pick(["'ab'", "'abcde'", "''", 'NULL']),
      r.pick(["'x'", "'tab\t and \\\\ backslash'", "E'line\\nbreak'", "''", 'NULL']),
      r.pick(["'\\x'", "'\\x00ff10'", "'\\xdeadbeef'", 'NULL']),
      r.pick(["'0001-01-01'", "'9999-12-31'", "'2024-02-29'", "'1969-12-31'", 'NULL']),
      r.pick([
        "'2024-02-29 23:59:59.999999'",
        "'0001-01-01'",
        "'1969-12-31 23:59:59.999999'",
        'NULL',
      ]),
      r.pick(["'2024-03-31 02:30:00+01'", "'1900-01-01 00:00:00.000001Z'", 'NULL']),
      r.pick([
        "'00000000-0000-0000-0000-000000000000'",
        "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
        'NULL',
      ]),
      r.pick([`'{"b": 1,  "a": [1e400]}'`, `'null'`, 'NULL']),
      r.pick([`'{"b": 1, "a": "\\u00e9"}'`, `'[]'`, 'NULL']),
      r.pick(["'sad'", "'happy'", "'it''s \"complicated\"'", 'NULL']),
      r.chance(0.3) ? this.#big() : 'NULL',
      this.#text(),
    ]
    return `INSERT INTO wide VALUES (${values.join(', ')}) ON CONFLICT (k1, k2) DO UPDATE SET
      b = excluded.b, s = excluded.s, f8 = excluded.f8, n = excluded.n, by = excluded.by, d = excluded.d, note = excluded.note`
  }

  #cleared(session: Session): string {
    const id = this.#key(session, 200)
    return this.#random.chance(0.2)
      ? `DELETE FROM cleared WHERE id = ${id}`
      : `INSERT INTO cleared VALUES (${id}, ${this.#text()}) ON CONFLICT (id) DO UPDATE SET v = excluded.v`
  }

  #text(): string {
    return this.#random.pick([
      "'one'",
      "'two'",
      "''",
      'NULL',
      "'ünïcödé 😀'",
      "'\\N'",
      "E'a\\tb\\\\c'",
    ])
  }

  /** Large enough to be stored out of line, so that later updates send it as unchanged. */
  #big(): string {
    return `repeat('${this.#random.int(0, 10)}', ${this.#random.int(3000, 9000)})`
  }

  /** One transaction that touches very many rows; keys beyond the sessions' own. */
  bulk(): string {
    const from = this.#random.int(0, 3) * this.#bulkRows
    const to = from + this.#bulkRows - 1
    switch (this.#random.int(0, 3)) {
      case 0:
        return `DELETE FROM bulk WHERE id BETWEEN ${from} AND ${to}`
      case 1:
        return `UPDATE bulk SET x = x + 1 WHERE id BETWEEN ${from} AND ${to}`
      default:
        return `INSERT INTO bulk SELECT g, 'payload ' || g % 100, g / 7.0 FROM generate_series(${from}, ${to}) g
          ON CONFLICT (id) DO UPDATE SET payload = excluded.payload || '!', x = excluded.x`
    }
  }
}

class Workload implements RandomWorkload {
  readonly #random: Random
  readonly #sessions: readonly Session[]
  readonly #maker: StatementMaker
  transactions = 0
  bulkTransactions = 0

  constructor(options: WorkloadOptions) {
    this.#random = createRandom(options.seed)
    this.#sessions = options.sessions.map((client, number) => ({
      client,
      number,
      pending: undefined,
    }))
    this.#maker = new StatementMaker(this.#random, this.#sessions.length, options.bulkRows)
  }

  async createTables(): Promise<void> {
    await this.#sessions[0]?.client.query(schemaSql)
  }

  async run(count: number): Promise<void> {
    const goal = this.transactions + count
    while (this.transactions < goal) await this.#step()
  }

  async finish(): Promise<void> {
    for (const session of this.#sessions) await this.#complete(session)
  }

  async #step(): Promise<void> {
    const session = this.#random.pick(this.#sessions)
    if (session.pending !== undefined) {
      const statement = session.pending.shift()
      if (statement === undefined) await this.#complete(session)
      else await session.client.query(statement)
      return
    }
    const kind = this.#random.int(0, 1000)
    if (kind < 50) {
      await session.client.query('BEGIN')
      session.pending = this.#statements(session)
      return
    }
    if (kind >= 54) await this.#whole(session)
    else if (this.#random.chance(0.4)) await this.#alone(session, this.#truncate())
    else await this.runBulk()
  }

  #truncate(): string {
    return this.#random.pick(['TRUNCATE cleared', 'TRUNCATE cleared', 'TRUNCATE pair_a, pair_b'])
  }

  async runBulk(): Promise<void> {
    await this.#alone(this.#random.pick(this.#sessions), this.#maker.bulk())
    this.bulkTransactions++
  }

  reconnect(sessions: readonly pg.Client[]): void {
    for (const session of this.#sessions) {
      session.client = sessions[session.number] ?? session.client
      session.pending = undefined
    }
  }

  /** Many whole transactions in one round trip. */
  async #whole(session: Session): Promise<void> {
    const parts: string[] = []
    const count = this.#random.int(1, 12)
    for (let n = 0; n < count; n++) {
      const end = this.#random.chance(0.1) ? 'ROLLBACK' : 'COMMIT'
      const body = this.#random.chance(0.03) ? [] : this.#statements(session)
      parts.push('BEGIN', ...body, end)
    }
    await session.client.query(parts.join(';\n'))
    this.transactions += count
  }

  #statements(session: Session): string[] {
    const statements: string[] = []
    const count = this.#random.int(1, 5)
    for (let n = 0; n < count; n++) {
      if (this.#random.chance(0.08)) {
        const end = this.#random.pick(['ROLLBACK TO s', 'RELEASE s'])
        statements.push(`SAVEPOINT s; ${this.#maker.statement(session)}; ${end}`)
      } else statements.push(this.#maker.statement(session))
    }
    return statements
  }

  /** Statements on rows or tables of all sessions: nothing else may be open. */
  async #alone(session: Session, statement: string): Promise<void> {
    await this.finish()
    await session.client.query(`BEGIN; ${statement}; ${this.#maker.statement(session)}; COMMIT`)
    this.transactions++
  }

  async #complete(session: Session): Promise<void> {
    if (session.pending === undefined) return
    for (const statement of session.pending) await session.client.query(statement)
    session.pending = undefined
    await session.client.query(this.#random.chance(0.15) ? 'ROLLBACK' : 'COMMIT')
    this.transactions++
  }
}

export function createRandomWorkload(options: WorkloadOptions): RandomWorkload {
  return new Workload(options)
}
