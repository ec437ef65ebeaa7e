/**
 * Tells the server what became durable after the last stream had ended: that stream could not say so
 * any more, and a gateway that runs from time to time would leave the slot where it was for ever.
 */
import type { SteadyClock } from '../../base/clock.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { readSlot } from './replication-slot.ts'
import { quoteIdentifier } from './sql-text.ts'
import { startOptions } from './start-options.ts'
import { expectSlot } from './stream-slot.ts'
import { ReplicationConnection } from './wire/replication-connection.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface ConfirmSlotOptions {
  readonly options: PostgresOptions
  readonly control: Control
  readonly clock: SteadyClock
  readonly slotName: string
  readonly publicationNames: readonly string[]
  /** `server_version_num`. */
  readonly serverVersion: number
  /** How long the former stream may still hold the slot. */
  readonly slotWaitMs: number
}

const askIntervalMs = 20
const answerTimeoutMs = 2_000

/**
 * A short stream of which nothing is taken. Resolves to the place before which there is nothing for
 * us that is not durable: further than `durable` when the source has been silent since.
 */
export async function confirmSlot(of: ConfirmSlotOptions, durable: Lsn): Promise<Lsn> {
  const { options, control, clock, slotName } = of
  const slot = await readSlot(control, slotName)
  if (slot?.confirmedLsn === undefined) return durable
  const { currentLsn } = slot
  if (slot.confirmedLsn >= durable && currentLsn <= durable) return durable
  await expectSlot(of, durable, AbortSignal.timeout(answerTimeoutMs))
  const connection = await WireConnection.open(options, { isReplication: true })
  const replication = new ReplicationConnection(connection, clock, answerTimeoutMs)
  replication.confirm(durable)
  const stop = (): void => replication.stop()
  const asking = setInterval(() => replication.sendStatus(true), askIntervalMs)
  const timer = setTimeout(stop, answerTimeoutMs)
  try {
    const start = `START_REPLICATION SLOT ${quoteIdentifier(slotName)} LOGICAL ${formatLsn(durable)} ${startOptions({ ...of, withStreaming: false })}`
    let silentTo = durable
    await replication.stream(start, `confirming slot "${slotName}"`, {
      data: () => {
        stop()
        return undefined
      },
      keepalive: (walEnd) => {
        if (walEnd > silentTo) silentTo = walEnd
        if (walEnd >= currentLsn) stop()
      },
      readDone: () => undefined,
    })
    return silentTo
  } finally {
    clearInterval(asking)
    clearTimeout(timer)
    connection.close()
  }
}
