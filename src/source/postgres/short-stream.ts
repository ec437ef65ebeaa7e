/** A stream that is read for what the server says, and not for its rows. */
import type { Lsn } from './lsn.ts'
import { startStatement } from './start-options.ts'
import type { StreamSlot } from './stream-slot.ts'
import { ReplicationConnection, type ReplicationHandler } from './wire/replication-connection.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface ShortStream extends StreamSlot {
  /** `server_version_num`. */
  readonly serverVersion: number
}

/** How often the server is asked how far it has come. */
const askIntervalMs = 20

/** Reads from `from` on until the handler stops the connection that it is made for. */
export async function readShortly<Handler extends ReplicationHandler>(
  of: ShortStream,
  from: Lsn,
  doing: string,
  handlerOf: (replication: ReplicationConnection) => Handler,
): Promise<Handler> {
  const connection = await WireConnection.open(of.options, { isReplication: true })
  const replication = new ReplicationConnection(connection, of.clock, 10 * askIntervalMs)
  const handler = handlerOf(replication)
  const asking = setInterval(() => replication.sendStatus(true), askIntervalMs)
  try {
    const sql = startStatement(of.slotName, from, { ...of, withStreaming: false })
    await replication.stream(sql, doing, handler)
    return handler
  } finally {
    clearInterval(asking)
  }
}
