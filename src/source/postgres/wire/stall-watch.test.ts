import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SluiceError } from '../../../base/errors.ts'
import { type BackendState, readBackendState, StallWatch } from './stall-watch.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const timeoutMs = 1_000

class FakeConnection {
  bytes = 0
  held = false
  nudges = 0
  asks = 0
  failures: SluiceError[] = []
  answer: () => Promise<BackendState> = async () => 'working'

  isHeld(): boolean {
    return this.held
  }
  readBytes(): number {
    return this.bytes
  }
  nudge(): void {
    this.nudges++
  }
  async ask(): Promise<BackendState> {
    this.asks++
    return await this.answer()
  }
  fail(error: SluiceError): void {
    this.failures.push(error)
  }
}

function watched(): { connection: FakeConnection; watch: StallWatch } {
  const connection = new FakeConnection()
  const watch = new StallWatch(connection, timeoutMs, 'db:5432')
  watch.start()
  return { connection, watch }
}

describe('a silent connection', () => {
  test('is nudged, then asked about, and kept while the server works', async () => {
    const { connection } = watched()
    await vi.advanceTimersByTimeAsync(timeoutMs - 1)
    expect([connection.nudges, connection.asks]).toEqual([3, 0])
    await vi.advanceTimersByTimeAsync(timeoutMs * 5)
    expect(connection.asks).toBe(5)
    expect(connection.failures).toEqual([])
  })

  test.each<BackendState>(['gone', 'waiting'])(
    'fails once when the process is %s',
    async (state) => {
      const { connection } = watched()
      connection.answer = async () => state
      await vi.advanceTimersByTimeAsync(timeoutMs * 5)
      expect(connection.failures.map(({ code }) => code)).toEqual(['SOURCE_STALLED'])
      expect(connection.asks).toBe(1)
    },
  )

  test('fails at once when the server cannot be reached', async () => {
    const { connection } = watched()
    connection.answer = async () => {
      throw new SluiceError('SOURCE_UNREACHABLE', 'x')
    }
    await vi.advanceTimersByTimeAsync(timeoutMs)
    expect(connection.failures).toHaveLength(1)
  })

  test('is kept for long when the server is there and has no connection left', async () => {
    const { connection } = watched()
    connection.answer = async () => {
      throw new SluiceError('SOURCE_TOO_MANY_CONNECTIONS', 'x')
    }
    await vi.advanceTimersByTimeAsync(timeoutMs * 9)
    expect(connection.failures).toEqual([])
    await vi.advanceTimersByTimeAsync(timeoutMs)
    expect(connection.failures).toHaveLength(1)
  })

  test('that speaks while it is asked about is left alone', async () => {
    const { connection } = watched()
    connection.answer = async () => {
      connection.bytes++
      return 'gone'
    }
    await vi.advanceTimersByTimeAsync(timeoutMs * 3)
    expect(connection.failures).toEqual([])
  })
})

test('bytes, and pauses of our own, are no silence', async () => {
  const { connection } = watched()
  for (let step = 0; step < 10; step++) {
    connection.bytes++
    await vi.advanceTimersByTimeAsync(timeoutMs / 2)
  }
  connection.held = true
  await vi.advanceTimersByTimeAsync(timeoutMs * 5)
  expect([connection.asks, connection.failures.length]).toEqual([0, 0])
})

test('stop() ends the watch, and a timeout of 0 never begins it', async () => {
  const { connection, watch } = watched()
  watch.stop()
  const other = new FakeConnection()
  new StallWatch(other, 0, 'db').start()
  await vi.advanceTimersByTimeAsync(timeoutMs * 5)
  expect([connection.asks, other.asks]).toEqual([0, 0])
})

test.each([
  [undefined, 'gone'],
  [['active', null], 'working'],
  [['active', 'DataFileRead'], 'working'],
  [['active', 'relation'], 'working'],
  [['active', 'ClientWrite'], 'waiting'],
  [['active', 'WalSenderWaitForWAL'], 'waiting'],
  [['active', 'WalSenderWaitForWal'], 'waiting'],
  [['idle', 'ClientRead'], 'waiting'],
  [[null, null], 'working'],
] as const)('a process that is %j is %s', (row, state) => {
  expect(readBackendState(row)).toBe(state)
})
