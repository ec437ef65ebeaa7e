import { describe, expect, test } from 'vitest'
import { serverForTests } from '../../../../test/support/server-for-tests.ts'
import { parsePostgresOptions, type PostgresOptions } from '../connection-options.ts'
import { copyOut } from './copy-out.ts'
import { WireConnection } from './wire-connection.ts'

const server = serverForTests()

function options(): PostgresOptions {
  return parsePostgresOptions({
    host: '127.0.0.1',
    port: String(server.port),
    database: 'postgres',
    user: 'postgres',
    password: server.password,
    sslmode: 'disable',
  })
}

describe('copyOut()', () => {
  const rows = 200_000
  const sql = `copy (select g, repeat('x', g % 50) from generate_series(1, ${rows}) g) to stdout`

  test('hands over every row once, with pauses', async () => {
    const connection = await WireConnection.open(options())
    let count = 0
    let pauses = 0
    let sum = 0
    await copyOut(
      connection,
      { sql, doing: 'copying' },
      {
        row: (bytes, start, end) => {
          count++
          sum += Number(
            Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
              .toString()
              .split('\t')[0],
          )
        },
        pressure: () =>
          pauses++ % 3 === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined,
      },
      new AbortController().signal,
    )
    expect(count).toBe(rows)
    expect(sum).toBe((rows * (rows + 1)) / 2)
    expect(pauses).toBeGreaterThan(3)
    expect(await connection.query('select 1')).toEqual([['1']])
    connection.close()
  })

  test('stops when told to, and with the error of its target', async () => {
    const connection = await WireConnection.open(options())
    const stop = new AbortController()
    const stopped = copyOut(
      connection,
      { sql, doing: 'copying' },
      { row: () => stop.abort(), pressure: () => undefined },
      stop.signal,
    )
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    const other = await WireConnection.open(options())
    const failed = copyOut(
      other,
      { sql, doing: 'copying' },
      {
        row: () => {
          throw new Error('full')
        },
        pressure: () => undefined,
      },
      new AbortController().signal,
    )
    await expect(failed).rejects.toThrow('full')
    expect(other.isClosed).toBe(true)
  })
})
