import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasCode } from '../base/errors.ts'
import { openEngine, type Engine } from './duckdb.ts'
import { withEnoughMemory } from './enough-memory.ts'
import { quoteIdentifier, quoteText, quoteTextList } from './quote.ts'
import { int32Column, int64Column } from './result-columns.ts'

let engine: Engine
beforeAll(async () => {
  engine = await openEngine({ memoryLimitBytes: 256 * 2 ** 20, threads: 2 })
})
afterAll(() => engine.close())

describe('openEngine()', () => {
  test('rows() keeps 64-bit integers, decimals and times exact', async () => {
    const rows = await engine.rows(`SELECT 9223372036854775807::BIGINT AS a,
      '12345678901234567890123456789.0123456789'::DECIMAL(38,9) AS b, 1::TINYINT AS c, 'x' AS d,
      TIMESTAMPTZ '2024-02-29 23:59:59.123456+00' AS e, '\\x00\\xff'::BLOB AS f, [1, NULL] AS g, NULL AS h`)
    expect(rows).toEqual([
      {
        a: 9223372036854775807n,
        b: '12345678901234567890123456789.012345679',
        c: 1,
        d: 'x',
        e: '2024-02-29 23:59:59.123456+00',
        f: new Uint8Array([0, 255]),
        g: [1, null],
        h: null,
      },
    ])
  })

  test('a text keeps U+FEFF at its start, at any depth and length', async () => {
    const texts = ['\ufeff', '\ufeffa', `\ufeff${'long'.repeat(9)}`]
    for (const text of texts) {
      const [row] = await engine.rows('SELECT $1 AS a, [$1] AS b, max($1) AS c', [text])
      expect(row).toEqual({ a: text, b: [text], c: text })
      expect((await engine.columns('SELECT $1', [text])).columns[0]?.values[0]).toBe(text)
    }
  })

  test('columns() gives typed arrays over many chunks, with their NULLs', async () => {
    const result = await engine.columns(
      'SELECT CASE WHEN i % 5000 = 0 THEN NULL ELSE i END, i::INTEGER FROM range(10001) r(i) ORDER BY i',
    )
    expect(result.rowCount).toBe(10_001)
    expect(int64Column(result, 0)[9999]).toBe(9999n)
    expect(int32Column(result, 1)[10_000]).toBe(10_000)
    expect(result.columns[0]?.nulls?.reduce((sum, isNull) => sum + isNull, 0)).toBe(3)
    expect(result.columns[1]?.nulls).toBeUndefined()
  })

  test('load() moves columns of any length into a temporary table', async () => {
    const count = 5000
    await engine.load('loaded', [
      {
        name: 'n',
        type: 'BIGINT',
        values: BigInt64Array.from({ length: count }, (_, i) => BigInt(i)),
      },
      {
        name: 'we"ird',
        type: 'VARCHAR',
        values: Array.from({ length: count }, (_, i) => (i === 0 ? null : `ü${i}`)),
      },
    ])
    const rows = await engine.rows(
      `SELECT sum(n) AS s, max(${quoteIdentifier('we"ird')}) AS m, count("we""ird") AS c FROM loaded`,
    )
    expect(rows).toEqual([{ s: 12_497_500n, m: 'ü999', c: 4999n }])
    await engine.load('nothing', [{ name: 'n', type: 'INTEGER', values: [] }])
    expect(await engine.rows('SELECT * FROM nothing')).toEqual([])
  })

  test('sessions share no temporary tables', async () => {
    const session = await engine.openSession()
    await session.run('CREATE TEMP TABLE mine AS SELECT 1 AS a')
    await expect(engine.rows('SELECT * FROM mine')).rejects.toSatisfy((error) =>
      hasCode(error, 'ENGINE_FAILED'),
    )
    expect(await session.rows("SELECT current_setting('TimeZone') AS z, a FROM mine")).toEqual([
      { z: 'UTC', a: 1 },
    ])
    session.close()
    session.close()
  })

  test('a failure is coded and does not quote values', async () => {
    const failure = engine.rows("SELECT CAST(s AS INTEGER) FROM (VALUES ('secret')) t(s)")
    await expect(failure).rejects.toSatisfy(
      (error) =>
        hasCode(error, 'ENGINE_FAILED') &&
        !error.message.includes('secret') &&
        error.cause === undefined,
    )
  })

  test('quoting survives quotes, backslashes and newlines', async () => {
    const ugly = `a'b"c\\d\n; DROP TABLE x; --`
    const rows = await engine.rows(
      `SELECT ${quoteText(ugly)} AS ${quoteIdentifier(ugly)}, ${quoteTextList([ugly, ''])} AS l`,
    )
    expect(rows).toEqual([{ [ugly]: ugly, l: [ugly, ''] }])
    expect(await engine.rows('SELECT $1 AS p', [ugly])).toEqual([{ p: ugly }])
  })

  test('what does not fit the memory is told apart, and fits after the limit has grown', async () => {
    const own = await openEngine({
      memoryLimitBytes: 2 ** 24,
      mostMemoryBytes: 2 ** 27,
      threads: 1,
    })
    // Lists are gathered in memory: they can not be spilled.
    const sql = 'SELECT len(list(md5(i::VARCHAR))) AS n FROM range(400000) r(i)'
    await expect(own.rows(sql)).rejects.toMatchObject({ code: 'ENGINE_OUT_OF_MEMORY' })
    const limits: number[] = []
    const grown = (limitBytes: number): void => void limits.push(limitBytes)
    const rows = await withEnoughMemory(own, () => own.rows(sql), grown)
    expect(rows).toEqual([{ n: 400_000n }])
    expect(limits.length).toBeGreaterThan(0)
    expect(limits).toEqual([2 ** 25, 2 ** 26, 2 ** 27].slice(0, limits.length))
    // A limit is one: what does not fit the most is told.
    const more = 'SELECT len(list(md5(i::VARCHAR))) AS n FROM range(6000000) r(i)'
    await expect(withEnoughMemory(own, () => own.rows(more))).rejects.toMatchObject({
      code: 'ENGINE_OUT_OF_MEMORY',
    })
    expect(await own.growMemory()).toBeUndefined()
    await own.close()
  })

  test('close() removes the folder it spilled to', async () => {
    const own = await openEngine({ memoryLimitBytes: 40 * 2 ** 20, threads: 1 })
    const folder = own.temporaryFolder
    await own.run('CREATE TEMP TABLE big AS SELECT i, md5(i::VARCHAR) AS h FROM range(900000) r(i)')
    expect(existsSync(folder)).toBe(true)
    await own.close()
    expect(existsSync(folder)).toBe(false)
  })
})
