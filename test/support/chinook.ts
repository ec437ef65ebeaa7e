/**
 * The Chinook sample database (a record shop, 11 tables) on a server, and mixed changes of all of
 * it that keep to its foreign keys: clones with other cells, updates, rows that change their key
 * together with every row that refers to them, rows deleted with everything below them.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import { createRandom, type Random } from './random.ts'

type Client = Awaited<ReturnType<EmbeddedPostgres['connect']>>

const folder = new URL('../../../shared/data/chinook/', import.meta.url)

/** A foreign key; `nullable` ones are cleared, not followed, when what they name is deleted. */
interface Reference {
  readonly table: ChinookTable
  readonly column: string
  readonly nullable: boolean
}

interface TableShape {
  /** The first column of the primary key; new rows and changes of keys count it up. */
  readonly key: string
  readonly wholeKey: readonly string[]
  /** Columns that may get any text, with their longest length; `?` allows NULL. */
  readonly texts: readonly (readonly [column: string, longest: number, nulls?: '?'])[]
  /** SQL of new values for other columns. */
  readonly others: readonly string[]
  readonly referredBy: readonly Reference[]
}

export type ChinookTable =
  | 'album'
  | 'artist'
  | 'customer'
  | 'employee'
  | 'genre'
  | 'invoice'
  | 'invoice_line'
  | 'media_type'
  | 'playlist'
  | 'playlist_track'
  | 'track'

const reference = (table: ChinookTable, column: string, nullable = false): Reference => ({
  table,
  column,
  nullable,
})

const shape = (
  key: string,
  texts: TableShape['texts'],
  rest: Partial<TableShape> = {},
): TableShape => ({ key, wholeKey: [key], texts, others: [], referredBy: [], ...rest })

export const chinookTables: Readonly<Record<ChinookTable, TableShape>> = {
  album: shape('album_id', [['title', 160]], {
    referredBy: [reference('track', 'album_id', true)],
  }),
  artist: shape('artist_id', [['name', 120, '?']], {
    referredBy: [reference('album', 'artist_id')],
  }),
  customer: shape(
    'customer_id',
    [
      ['company', 80, '?'],
      ['last_name', 20],
      ['state', 40, '?'],
    ],
    { referredBy: [reference('invoice', 'customer_id')] },
  ),
  employee: shape(
    'employee_id',
    [
      ['title', 30, '?'],
      ['fax', 24, '?'],
    ],
    {
      others: [
        "birth_date = '2299-12-31 23:59:59.999999'",
        "hire_date = '1900-01-01 00:00:00.000001'",
        'birth_date = NULL',
      ],
      referredBy: [
        reference('employee', 'reports_to', true),
        reference('customer', 'support_rep_id', true),
      ],
    },
  ),
  genre: shape('genre_id', [['name', 120, '?']], {
    referredBy: [reference('track', 'genre_id', true)],
  }),
  invoice: shape('invoice_id', [['billing_city', 40, '?']], {
    others: ['total = -0.01', 'total = 99999999.99', "invoice_date = invoice_date + '1 us'"],
    referredBy: [reference('invoice_line', 'invoice_id')],
  }),
  invoice_line: shape('invoice_line_id', [], {
    others: ['quantity = -quantity', 'unit_price = unit_price * 3', 'quantity = 2147483647'],
  }),
  media_type: shape('media_type_id', [['name', 120, '?']], {
    referredBy: [reference('track', 'media_type_id')],
  }),
  playlist: shape('playlist_id', [['name', 120, '?']], {
    referredBy: [reference('playlist_track', 'playlist_id')],
  }),
  playlist_track: shape('track_id', [], { wholeKey: ['playlist_id', 'track_id'] }),
  track: shape(
    'track_id',
    [
      ['name', 200],
      ['composer', 220, '?'],
    ],
    {
      others: ['bytes = NULL', 'unit_price = 0', 'milliseconds = -1', 'album_id = NULL'],
      referredBy: [reference('invoice_line', 'track_id'), reference('playlist_track', 'track_id')],
    },
  ),
}

export const chinookTableNames = Object.keys(chinookTables) as readonly ChinookTable[]

/** Creates the database `chinook` and fills it with the script as it is published for psql. */
export async function loadChinook(server: EmbeddedPostgres): Promise<void> {
  const script = readFileSync(new URL('Chinook_PostgreSql.sql', folder), 'utf8')
  const connectLine = '\\c chinook;'
  const at = script.indexOf(connectLine)
  if (at < 0) throw new Error(`no line ${connectLine} in ${fileURLToPath(folder)}`)
  // What stands before it drops and creates the database, which is psql's to send one by one.
  await server.sql('CREATE DATABASE chinook')
  await server.sql(script.slice(at + connectLine.length), 'chinook')
}

/** Rows of the same data as JSON, by table, with the columns named as on the server. */
export function readChinookJson(): ReadonlyMap<string, readonly Record<string, unknown>[]> {
  const text = readFileSync(new URL('ChinookData.json', folder), 'utf8')
  const snake = (name: string): string => name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toLowerCase()
  const data = JSON.parse(text) as Record<string, readonly Record<string, unknown>[]>
  return new Map(
    Object.entries(data).map(([table, rows]) => [
      snake(table),
      rows.map((row) =>
        Object.fromEntries(Object.entries(row).map(([column, cell]) => [snake(column), cell])),
      ),
    ]),
  )
}

const uglyTexts = ['', ' ', 'NULL', '\\N', 'O\'Brien "x"', 'a\tb\nc', '😀é\u{10FFFF}', '0']

export interface ChangeCounts {
  inserts: number
  updates: number
  deletes: number
  /** Rows that got another key: each is also one of `updates`. */
  movedKeys: number
}

/** Changes every table in every way, several times, one transaction each; counts rows as the server does. */
export async function changeChinook(client: Client, seed: number): Promise<ChangeCounts> {
  const counts: ChangeCounts = { inserts: 0, updates: 0, deletes: 0, movedKeys: 0 }
  const work: Work = { client, random: createRandom(seed), counts, nextKey: 100_000 }
  for (let round = 0; round < 4; round++) {
    for (const table of chinookTableNames) {
      await transaction(work, async () => {
        for (let n = 0; n < 4; n++) await cloneRow(work, table)
        for (let n = 0; n < 5; n++) await updateRow(work, table)
      })
      await transaction(work, () => moveKey(work, table))
      await transaction(work, () => deleteRow(work, table))
    }
    await transaction(work, () => reuseKeys(work))
    await rolledBack(work)
  }
  return counts
}

interface Work {
  readonly client: Client
  readonly random: Random
  readonly counts: ChangeCounts
  nextKey: number
}

async function transaction(work: Work, body: () => Promise<void>): Promise<void> {
  await work.client.query('BEGIN')
  await body()
  await work.client.query('COMMIT')
}

/** A condition that is true for one random row. */
async function randomRow(work: Work, table: ChinookTable): Promise<string> {
  const { wholeKey } = chinookTables[table]
  const { rows } = await work.client.query<Record<string, number>>(
    `SELECT ${wholeKey.join(', ')} FROM ${table} ORDER BY ${wholeKey.join(', ')}`,
  )
  const row = work.random.pick(rows)
  return wholeKey.map((column) => `${column} = ${row[column]}`).join(' AND ')
}

async function run(
  work: Work,
  kind: 'inserts' | 'updates' | 'deletes',
  sql: string,
  values: readonly unknown[] = [],
): Promise<number> {
  const { rowCount } = await work.client.query(sql, [...values])
  work.counts[kind] += rowCount ?? 0
  return rowCount ?? 0
}

async function cloneRow(work: Work, table: ChinookTable): Promise<void> {
  const { key } = chinookTables[table]
  const cells: Record<string, number> = { [key]: work.nextKey++ }
  if (table === 'playlist_track') cells[key] = await newTrack(work)
  await run(
    work,
    'inserts',
    `INSERT INTO ${table}
     SELECT (jsonb_populate_record(r, $1)).* FROM ${table} r WHERE ${await randomRow(work, table)}`,
    [JSON.stringify(cells)],
  )
}

/** Key of a track that no playlist holds yet. */
async function newTrack(work: Work): Promise<number> {
  await cloneRow(work, 'track')
  return work.nextKey - 1
}

async function updateRow(work: Work, table: ChinookTable): Promise<void> {
  const { texts, others } = chinookTables[table]
  const where = await randomRow(work, table)
  if (table === 'playlist_track') {
    work.counts.movedKeys += await run(
      work,
      'updates',
      `UPDATE playlist_track SET track_id = $1 WHERE ${where}`,
      [await newTrack(work)],
    )
    return
  }
  const text = texts.length === 0 ? undefined : work.random.pick(texts)
  if (text === undefined || (others.length > 0 && work.random.chance(0.5))) {
    await run(work, 'updates', `UPDATE ${table} SET ${work.random.pick(others)} WHERE ${where}`)
    return
  }
  const [column, longest, nulls] = text
  const ugly = [...uglyTexts, 'ü'.repeat(longest), ...(nulls === '?' ? [null] : [])]
  const value = work.random.int(0, ugly.length)
  await run(work, 'updates', `UPDATE ${table} SET ${column} = $1 WHERE ${where}`, [ugly[value]])
}

/** Foreign keys are checked at the end of a statement: one statement moves a row with all that refer to it. */
async function moveKey(work: Work, table: ChinookTable): Promise<void> {
  if (table === 'playlist_track') return await updateRow(work, table)
  const { key, referredBy } = chinookTables[table]
  const from = await smallKey(work, table)
  const to = work.nextKey++
  const moved = (column: string): string =>
    `${column} = CASE WHEN ${column} = ${from} THEN ${to} ELSE ${column} END`
  const columnsOf = new Map<ChinookTable, string[]>([[table, [key]]])
  for (const { table: other, column } of referredBy) {
    columnsOf.set(other, [...(columnsOf.get(other) ?? []), column])
  }
  const parts = [...columnsOf].map(
    ([one, columns], n) => `part${n} AS (
      UPDATE ${one} SET ${columns.map(moved).join(', ')}
      WHERE ${columns.map((column) => `${column} = ${from}`).join(' OR ')} RETURNING 1)`,
  )
  const sums = [...columnsOf.keys()].map(
    (one, n) => `(SELECT count(*)::int FROM part${n}) AS ${one}`,
  )
  const { rows } = await work.client.query<Record<string, number>>(
    `WITH ${parts.join(', ')} SELECT ${sums.join(', ')}`,
  )
  const [moves = {}] = rows
  for (const count of Object.values(moves)) work.counts.updates += count
  // Rows of this one table have the key of the other in their own.
  work.counts.movedKeys += 1 + (moves['playlist_track'] ?? 0)
}

/** Key of a row that few others refer to, so that some hundreds of changes stay some hundreds. */
async function smallKey(work: Work, table: ChinookTable): Promise<number> {
  const { key, referredBy } = chinookTables[table]
  const counts = referredBy.map(
    ({ table: other, column }) => `(SELECT count(*) FROM ${other} c WHERE c.${column} = p.${key})`,
  )
  const { rows } = await work.client.query<Record<string, number>>(
    `SELECT ${key} FROM (SELECT p.${key}, ${['0', ...counts].join(' + ')} AS n FROM ${table} p)
     WHERE n <= 20 ORDER BY n DESC, ${key} LIMIT 12`,
  )
  return work.random.pick(rows)[key] ?? 0
}

async function deleteRow(work: Work, table: ChinookTable): Promise<void> {
  if (table === 'playlist_track') {
    await run(work, 'deletes', `DELETE FROM playlist_track WHERE ${await randomRow(work, table)}`)
    return
  }
  await deleteBelow(work, table, [await smallKey(work, table)])
}

/** Deletes rows after everything that refers to them. */
async function deleteBelow(
  work: Work,
  table: ChinookTable,
  keys: readonly number[],
): Promise<void> {
  const { key, referredBy } = chinookTables[table]
  for (const { table: other, column, nullable } of referredBy) {
    if (nullable) {
      await run(
        work,
        'updates',
        `UPDATE ${other} SET ${column} = NULL WHERE ${column} = ANY ($1)`,
        [keys],
      )
    } else if (other === 'playlist_track') {
      await run(work, 'deletes', `DELETE FROM ${other} WHERE ${column} = ANY ($1)`, [keys])
    } else {
      const below = chinookTables[other].key
      const { rows } = await work.client.query<Record<string, number>>(
        `SELECT ${below} FROM ${other} WHERE ${column} = ANY ($1)`,
        [keys],
      )
      const next = rows.map((row) => row[below] ?? 0)
      if (next.length > 0) await deleteBelow(work, other, next)
    }
  }
  await run(work, 'deletes', `DELETE FROM ${table} WHERE ${key} = ANY ($1)`, [keys])
}

/** Within one transaction: two rows swap their keys, and a deleted row's key is used again. */
async function reuseKeys(work: Work): Promise<void> {
  const free = work.nextKey++
  const { rows } = await work.client.query<{ k: number }>(
    'SELECT invoice_line_id AS k FROM invoice_line ORDER BY md5($1 || invoice_line_id::text) LIMIT 3',
    [String(free)],
  )
  const [a, b, c] = rows.map(({ k }) => k)
  const move = async (from: number | undefined, to: number | undefined): Promise<void> => {
    work.counts.movedKeys += await run(
      work,
      'updates',
      'UPDATE invoice_line SET invoice_line_id = $2 WHERE invoice_line_id = $1',
      [from, to],
    )
  }
  await move(a, free)
  await move(b, a)
  await move(free, b)
  await run(work, 'deletes', 'DELETE FROM invoice_line WHERE invoice_line_id = $1', [c])
  await run(
    work,
    'inserts',
    `INSERT INTO invoice_line SELECT (jsonb_populate_record(r, $1)).* FROM invoice_line r WHERE invoice_line_id = $2`,
    [JSON.stringify({ invoice_line_id: c, quantity: 77 }), a],
  )
}

/** Nothing of this may arrive. */
async function rolledBack(work: Work): Promise<void> {
  await work.client.query('BEGIN')
  await work.client.query("UPDATE genre SET name = 'never'")
  await work.client.query('DELETE FROM playlist_track')
  await work.client.query('ROLLBACK')
  await work.client.query('BEGIN')
  await run(work, 'updates', 'UPDATE invoice SET total = total + 1 WHERE invoice_id = 2')
  await work.client.query('SAVEPOINT s')
  await work.client.query('TRUNCATE playlist_track')
  await work.client.query('ROLLBACK TO SAVEPOINT s')
  await work.client.query('COMMIT')
}
