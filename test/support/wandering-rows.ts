/**
 * A workload whose rows wander through the heap while it is copied: updates that leave large values
 * alone, deletes and re-inserts, changes and swaps of keys, sub-transactions, and cleaned-up places
 * that other rows take.
 */
import type pg from 'pg'
import type { Random } from './random.ts'

/** `big` stands outside of the heap, so that an update of another column does not send it. */
export const wanderingTable = `CREATE SCHEMA w;
  CREATE TABLE w.t (id bigint PRIMARY KEY, n int NOT NULL, note text, big text);
  ALTER TABLE w.t ALTER big SET STORAGE EXTERNAL;
  ALTER TABLE w.t SET (autovacuum_enabled = off)`

/** Longer than a page has room for, and little smaller when compressed. */
const bigText = (seed: string): string =>
  `(SELECT string_agg(md5(((${seed}) * 100 + i)::text), '') FROM generate_series(1, 70) i)`

export const fillWanderingTable = (rows: number): string => `
  INSERT INTO w.t SELECT g, 0, repeat('x', (g % 70)::int), ${bigText('g')} FROM generate_series(1, ${rows}) g`

export class WanderingRows {
  readonly #random: Random
  readonly #rows: number
  #fresh: number
  transactions = 0

  constructor(random: Random, rows: number) {
    this.#random = random
    this.#rows = rows
    this.#fresh = rows * 10
  }

  /** One transaction; a cleaning now and then. */
  async step(client: pg.Client): Promise<void> {
    const random = this.#random
    if (random.chance(0.02)) {
      await client.query('VACUUM w.t')
      return
    }
    await client.query('BEGIN')
    for (let n = random.int(1, 4); n > 0; n--) await client.query(this.#statement())
    if (random.chance(0.4)) {
      await client.query('SAVEPOINT s')
      await client.query(this.#statement())
      await client.query(random.chance(0.3) ? 'ROLLBACK TO s' : 'RELEASE s')
    }
    await client.query(random.chance(0.1) ? 'ROLLBACK' : 'COMMIT')
    this.transactions++
  }

  #statement(): string {
    const random = this.#random
    const id = random.int(1, this.#rows)
    const range = `id BETWEEN ${id} AND ${id + random.int(1, 12)}`
    switch (random.int(0, 8)) {
      case 0:
        return `DELETE FROM w.t WHERE ${range}`
      case 1:
        return `INSERT INTO w.t SELECT g, 1, 'again', ${bigText(`g + ${this.#fresh++}`)}
          FROM generate_series(${id}, ${id + 6}) g ON CONFLICT (id) DO NOTHING`
      case 2:
        this.#fresh += 20
        return `UPDATE w.t SET id = id - ${id} + ${this.#fresh} WHERE ${range}`
      case 3:
        // The keys of two neighbours change hands, one of them by way of a third.
        return `UPDATE w.t SET id = -1 - id WHERE id IN (${id}, ${id + 1});
          UPDATE w.t SET id = ${2 * id + 1} - (-1 - id) WHERE id IN (${-1 - id}, ${-2 - id})`
      case 4:
        return `UPDATE w.t SET big = ${bigText(String(this.#fresh++))} WHERE ${range}`
      default:
        // Longer than before: the row finds another place.
        return `UPDATE w.t SET n = n + 1, note = repeat('y', ${random.int(10, 200)}) WHERE ${range}`
    }
  }
}
