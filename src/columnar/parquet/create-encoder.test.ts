/** Shape of the files: dictionaries, pages, row groups, schema, empty files. */
import { expect, test } from 'vitest'
import { absent, batchOf, storedCell, type Cell } from '../../../test/support/cells.ts'
import { encodeFile, type TestColumn } from '../../../test/support/encode-file.ts'
import { queryByDuckDb, readByDuckDb, readByHyparquet } from '../../../test/support/read-parquet.ts'
import type { CanonicalType } from '../canonical-type.ts'
import { createParquetEncoder } from './create-encoder.ts'

test('a repetitive string column gets a dictionary, a distinct one does not', async () => {
  const rows = 8000
  const columns = [
    { name: 'status', cells: Array.from({ length: rows }, (_, row) => `state ${(row * row) % 7}`) },
    {
      name: 'runs',
      cells: Array.from({ length: rows }, (_, row) => `run ${Math.floor(row / 300)}`),
    },
    { name: 'one', cells: Array<string>(rows).fill('the only one') },
    {
      name: 'many',
      cells: Array.from({ length: rows }, (_, row) => `value ${(row * 7919) % 500}`),
    },
    { name: 'distinct', cells: Array.from({ length: rows }, (_, row) => `distinct ${row}`) },
    {
      name: 'late',
      cells: Array.from({ length: rows }, (_, row) => `late ${row < 1500 ? 1 : row}`),
    },
    {
      name: 'sparse',
      cells: Array.from({ length: rows }, (_, row) => (row % 9 ? null : `s${row % 5}`)),
    },
  ].map((column) => ({ ...column, type: { kind: 'string' as const } }))
  const lists: TestColumn = {
    name: 'lists',
    type: { kind: 'array', element: { kind: 'string' } },
    cells: Array.from({ length: rows }, (_, row) => Array<string>(row % 4).fill(`tag ${row % 3}`)),
  }
  const { bytes } = await encodeFile([[...columns, lists]])
  const duckDb = await readByDuckDb(bytes)
  const hyparquet = await readByHyparquet(bytes)
  for (const { name, cells } of [...columns, lists]) {
    expect(duckDb[name], name).toEqual(cells)
    expect(hyparquet[name], name).toEqual(cells)
  }
  const chunks = await queryByDuckDb(
    bytes,
    `SELECT path_in_schema AS name FROM parquet_metadata($file)
     WHERE dictionary_page_offset IS NOT NULL ORDER BY column_id`,
  )
  expect(chunks.map(({ name }) => name)).toEqual([
    'status',
    'runs',
    'one',
    'many',
    'sparse',
    'lists, list, element',
  ])
})

test('large columns are cut into several pages, in several row groups', async () => {
  const rows = 140_000
  // Each column as a function of the row number, here and in SQL.
  const columns: { name: string; type: CanonicalType; cell: (row: number) => Cell; sql: string }[] =
    [
      { name: 'id', type: { kind: 'int64' }, cell: (row) => BigInt(row), sql: 'n' },
      {
        name: 'maybe',
        type: { kind: 'int64' },
        cell: (row) => ((row * 7) % 11 < 1 ? null : BigInt(row)),
        sql: 'CASE WHEN n * 7 % 11 >= 1 THEN n END',
      },
      {
        name: 'text',
        type: { kind: 'string' },
        cell: (row) => (row % 13 === 5 ? null : `text ${row} é`),
        sql: "CASE WHEN n % 13 <> 5 THEN 'text ' || n || ' é' END",
      },
      {
        name: 'flag',
        type: { kind: 'boolean' },
        cell: (row) => (row % 5 === 0 ? absent : row % 3 === 0),
        sql: 'CASE WHEN n % 5 <> 0 THEN n % 3 = 0 END',
      },
      {
        name: 'list',
        type: { kind: 'array', element: { kind: 'int32' } },
        cell: (row) => (row % 17 === 0 ? null : [row, null, row + 1].slice(0, row % 4)),
        sql: 'CASE WHEN n % 17 <> 0 THEN [n, NULL, n + 1][:n % 4] END',
      },
    ]
  const group = (first: number, count: number): TestColumn[] =>
    columns.map(({ name, type, cell }) => ({
      name,
      type,
      cells: Array.from({ length: count }, (_, row) => cell(first + row)),
    }))
  const { bytes } = await encodeFile([group(0, rows), group(rows, 1000)])
  const wrong = columns.map(
    ({ name, sql }) => `count_if(${name} IS DISTINCT FROM (${sql})) AS ${name}`,
  )
  const found = await queryByDuckDb(
    bytes,
    `SELECT count(*) AS n, ${wrong.join(', ')}
     FROM (SELECT *, file_row_number AS n FROM read_parquet($file, file_row_number = true))`,
  )
  expect(found).toEqual([
    { n: BigInt(rows + 1000), id: 0n, maybe: 0n, text: 0n, flag: 0n, list: 0n },
  ])
  const hyparquet = await readByHyparquet(bytes)
  for (const { name, type, cell } of columns) {
    for (const row of [0, 1, 69_999, 131_071, 131_072, 131_080, 139_999, 140_000, 140_999]) {
      expect(hyparquet[name]?.[row], `${name} in row ${row}`).toEqual(storedCell(type, cell(row)))
    }
  }
})

test('a file without rows has its schema, one without columns its row count', async () => {
  const columns: TestColumn[] = [
    { name: 'id', type: { kind: 'int64' }, cells: [] },
    { name: 'tags', type: { kind: 'array', element: { kind: 'string' } }, cells: [] },
  ]
  const empty = await encodeFile([], columns)
  const described = await queryByDuckDb(
    empty.bytes,
    `SELECT column_name AS name, column_type AS type, (SELECT count(*) FROM read_parquet($file)) AS n
     FROM (DESCRIBE SELECT * FROM read_parquet($file))`,
  )
  expect(described).toEqual([
    { name: 'id', type: 'BIGINT', n: 0n },
    { name: 'tags', type: 'VARCHAR[]', n: 0n },
  ])
  expect(await readByHyparquet(empty.bytes)).toEqual({ id: [], tags: [] })
  expect(empty.statistics).toEqual({
    rowCount: 0,
    columns: [
      { name: 'id', nullCount: 0 },
      { name: 'tags', nullCount: 0 },
    ],
  })
  const emptyBatch = await encodeFile([columns])
  expect(emptyBatch.bytes.equals(empty.bytes)).toBe(true)

  const encoder = createParquetEncoder([])
  const parts = await encoder.encodeRowGroup({ columns: [], rowCount: 3, byteLength: 0 })
  const { bytes, statistics } = encoder.finish()
  expect(statistics).toEqual({ rowCount: 3, columns: [] })
  expect(await readByHyparquet(Buffer.concat([...parts, bytes]))).toEqual({})
})

test('a batch of another shape is refused', async () => {
  const encoder = createParquetEncoder([{ name: 'id', type: { kind: 'int32' } }])
  const batch = batchOf([{ name: 'other', type: { kind: 'int32' }, cells: [1] }])
  await expect(encoder.encodeRowGroup(batch)).rejects.toThrow('other')
  const none = { columns: [], rowCount: 1, byteLength: 0 }
  await expect(encoder.encodeRowGroup(none)).rejects.toThrow('0 columns')
})

test('schema types are what engines expect', async () => {
  const types: Record<string, CanonicalType> = {
    boolean: { kind: 'boolean' },
    int8: { kind: 'int8' },
    int16: { kind: 'int16' },
    int32: { kind: 'int32' },
    int64: { kind: 'int64' },
    float32: { kind: 'float32' },
    float64: { kind: 'float64' },
    decimal9: { kind: 'decimal', precision: 9, scale: 2 },
    decimal18: { kind: 'decimal', precision: 18, scale: 0 },
    decimal38: { kind: 'decimal', precision: 38, scale: 38 },
    string: { kind: 'string' },
    binary: { kind: 'binary' },
    date: { kind: 'date' },
    timestamp: { kind: 'timestamp' },
    timestamp_ntz: { kind: 'timestamp_ntz' },
    array: { kind: 'array', element: { kind: 'int16' } },
  }
  const columns = Object.entries(types).map(([name, type]) => ({ name, type, cells: [null] }))
  const { bytes } = await encodeFile([columns])
  const rows = await queryByDuckDb(bytes, `DESCRIBE SELECT * FROM read_parquet($file)`)
  expect(Object.fromEntries(rows.map((row) => [row['column_name'], row['column_type']]))).toEqual({
    boolean: 'BOOLEAN',
    int8: 'TINYINT',
    int16: 'SMALLINT',
    int32: 'INTEGER',
    int64: 'BIGINT',
    float32: 'FLOAT',
    float64: 'DOUBLE',
    decimal9: 'DECIMAL(9,2)',
    decimal18: 'DECIMAL(18,0)',
    decimal38: 'DECIMAL(38,38)',
    string: 'VARCHAR',
    binary: 'BLOB',
    date: 'DATE',
    timestamp: 'TIMESTAMP WITH TIME ZONE',
    timestamp_ntz: 'TIMESTAMP',
    array: 'SMALLINT[]',
  })
})
