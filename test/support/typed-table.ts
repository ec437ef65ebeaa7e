/**
 * A table with one column per type, its rows the values of each: copied, followed and compared with
 * what the server itself prints.
 */
import { expect } from 'vitest'
import type { Scene } from './bad-input.ts'

export interface TypedColumn {
  readonly type: string
  /** SQL expressions, cast to the type; row `n` has the n-th, later rows NULL. */
  readonly values: readonly string[]
}

export interface TypedTable {
  /** In the schema `app`. */
  readonly name: string
  /** Rows that one insert makes: one for each value of the longest list, and one of NULLs. */
  readonly rows: number
  readonly create: string
  /** Inserts all values, `id` from `first` on. */
  insert(first: number): string
}

/** The table's columns are `id`, `note`, and `c0`, `c1`, … in the order of `columns`. */
export function typedTable(name: string, columns: readonly TypedColumn[]): TypedTable {
  const longest = Math.max(...columns.map(({ values }) => values.length))
  const row = (id: number, n: number): string => {
    const cells = columns.map(({ type, values }) => `CAST(${values[n] ?? 'NULL'} AS ${type})`)
    return `(${[id, `'note'`, ...cells].join(', ')})`
  }
  const list = columns.map(({ type }, n) => `c${n} ${type}`)
  return {
    name,
    rows: longest + 1,
    create: `CREATE TABLE app.${name} (id int PRIMARY KEY, note text, ${list.join(', ')})`,
    insert: (first) => {
      const rows = Array.from({ length: longest + 1 }, (_, n) => row(first + n, n))
      return `INSERT INTO app.${name} VALUES ${rows.join(', ')}`
    },
  }
}

/** The settings under which a value's text is its own, whatever those of the server are. */
const exactTexts = `SET search_path = pg_catalog; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
  SET timezone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex'`

/** A run that ends well; then `expectTextsOfServer` of the table's columns at `places`. */
export async function runAndExpectTexts(
  scene: Scene,
  table: string,
  places: readonly number[],
): Promise<void> {
  const done = await scene.runOnce()
  expect(done.exitCode, done.text).toBe(0)
  await expectTextsOfServer(scene, table, places)
}

/**
 * Expects in the destination, for the columns that `takes` (by place) picks, the text that `truth`
 * (SQL; the server's output function when left out) makes of each cell; and that `verify` agrees.
 */
export async function expectTextsOfServer(
  scene: Scene,
  table: string,
  takes: readonly number[],
  truth = (cell: string): string => `format('%s', ${cell})`,
): Promise<void> {
  await scene.expectEqual(table)
  const texts = takes.map(
    (n) => `CASE WHEN num_nulls(c${n}) = 0 THEN ${truth(`c${n}`)} END AS c${n}`,
  )
  const source = await scene.sql(
    `${exactTexts}; SELECT id, ${texts.join(', ')} FROM app.${table} ORDER BY id`,
  )
  const names = takes.map((n) => `c${n}`)
  const { text } = await scene.call(
    'query',
    `SELECT id, ${names.join(', ')} FROM ${table} ORDER BY id`,
  )
  const destination = text
    .split('\n')
    .filter((line) => line.startsWith('{"id":'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(destination.length).toBe(source.length)
  for (const [place, row] of destination.entries()) expect(row).toEqual({ ...source[place] })
}
