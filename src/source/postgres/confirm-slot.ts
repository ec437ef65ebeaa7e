/**
 * Tells the server what became durable after the last stream had ended: that stream could not say so
 * any more, and a gateway that runs from time to time would leave the slot where it was for ever.
 */
import type { Lsn } from './lsn.ts'
import { readSlot } from './replication-slot.ts'
import { readShortly, type ShortStream } from './short-stream.ts'
import { expectSlot } from './stream-slot.ts'

const answerTimeoutMs = 2_000

/**
 * A short stream of which nothing is taken. Resolves to the place before which there is nothing for
 * us that is not durable: further than `durable` when the source has been silent since.
 */
export async function confirmSlot(of: ShortStream, durable: Lsn): Promise<Lsn> {
  const slot = await readSlot(of.control, of.slotName)
  if (slot?.confirmedLsn === undefined) return durable
  const { currentLsn } = slot
  if (slot.confirmedLsn >= durable && currentLsn <= durable) return durable
  const slotWaitMs = Math.min(of.slotWaitMs, answerTimeoutMs)
  await expectSlot({ ...of, slotWaitMs }, durable)
  let silentTo = durable
  let timer: NodeJS.Timeout | undefined
  try {
    await readShortly(of, durable, `confirming slot "${of.slotName}"`, (replication) => {
      replication.confirm(durable)
      const stop = (): void => replication.stop()
      timer = setTimeout(stop, answerTimeoutMs)
      return {
        data: () => {
          stop()
          return undefined
        },
        keepalive: (walEnd) => {
          if (walEnd > silentTo) silentTo = walEnd
          if (walEnd >= currentLsn) stop()
        },
        readDone: () => undefined,
      }
    })
    return silentTo
  } finally {
    clearTimeout(timer)
  }
}
