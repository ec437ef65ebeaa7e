/** What a replication connection tells the server, and what it takes for the end of a stream. */
import { expect, test } from 'vitest'
import { systemClock } from '../../../base/clock.ts'
import type { Lsn } from '../lsn.ts'
import type { Exchange } from './exchange.ts'
import { backend } from './messages.ts'
import { ReplicationConnection, type ReplicationHandler } from './replication-connection.ts'
import type { WireConnection } from './wire-connection.ts'

const handler: ReplicationHandler = {
  data: () => undefined,
  keepalive: () => undefined,
  readDone: () => undefined,
}

/** A connection whose exchange is in the test's hands; keeps the status messages sent. */
class FakeWire {
  readonly statuses: { readonly written: bigint; readonly flushed: bigint }[] = []
  exchange: Exchange | undefined
  end: () => void = () => undefined

  run(_request: Uint8Array, exchange: Exchange): Promise<void> {
    this.exchange = exchange
    return new Promise((resolve) => (this.end = resolve))
  }

  write(bytes: Uint8Array): void {
    const message = Buffer.from(bytes)
    // CopyData with a standby status update.
    if (message[0] !== 0x64 || message[5] !== 0x72) return
    this.statuses.push({
      written: message.readBigUInt64BE(6),
      flushed: message.readBigUInt64BE(14),
    })
  }

  close(): void {
    this.end()
  }

  receive(type: number, content: Buffer): void {
    void this.exchange?.message(type, content, 0, content.length)
  }

  keepalive(walEnd: bigint, wantsReply: boolean): void {
    const content = Buffer.alloc(18)
    content[0] = 0x6b
    content.writeBigUInt64BE(walEnd, 1)
    content[17] = wantsReply ? 1 : 0
    this.receive(backend.copyData, content)
  }
}

function streaming(): {
  readonly wire: FakeWire
  readonly replication: ReplicationConnection
  readonly ended: Promise<void>
} {
  const wire = new FakeWire()
  const connection = wire as unknown as WireConnection
  const replication = new ReplicationConnection(connection, systemClock, 60_000)
  const ended = replication.stream('START_REPLICATION', 'reading', handler)
  ended.catch(() => undefined)
  wire.receive(backend.copyBothResponse, Buffer.alloc(3))
  return { wire, replication, ended }
}

test('trap: a stream that the server ends politely is a lost connection, not the end of the changes', async () => {
  const { wire, ended } = streaming()
  wire.receive(backend.copyDone, Buffer.alloc(0))
  wire.receive(backend.commandComplete, Buffer.from('COPY 0\0'))
  wire.end()
  await expect(ended).rejects.toMatchObject({ code: 'SOURCE_CONNECTION_LOST' })
})

test('trap: what was only received is never confirmed, and a confirmation never goes back', async () => {
  const { wire, replication, ended } = streaming()
  wire.keepalive(500n, true)
  expect(wire.statuses.at(-1)).toEqual({ written: 500n, flushed: 0n })
  replication.confirm(300n as Lsn)
  replication.confirm(200n as Lsn)
  wire.keepalive(600n, true)
  expect(wire.statuses.at(-1)).toEqual({ written: 600n, flushed: 300n })
  // Nothing is asked of us: the next status is that of the end.
  const count = wire.statuses.length
  wire.keepalive(700n, false)
  expect(wire.statuses).toHaveLength(count)
  replication.stop()
  wire.end()
  await ended
  expect(wire.statuses.at(-1)).toEqual({ written: 700n, flushed: 300n })
})
