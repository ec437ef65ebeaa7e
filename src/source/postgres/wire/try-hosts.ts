/** One host after another, until one answers that is of the asked kind. */
import { asSluiceError, SluiceError } from '../../../base/errors.ts'
import type { ErrorCode } from '../../../base/error-codes.ts'
import type { PostgresOptions, TargetSession } from '../connection-options.ts'
import { type HostAddress, shownAddress } from '../hosts.ts'
import type { ServerState } from '../server-memory.ts'

export interface Attempted {
  readonly server: ServerState
  close(): void
}

/** What is wrong with one host; with another error no other host is tried, as libpq has it. */
const hostErrors: ReadonlySet<ErrorCode> = new Set([
  'SOURCE_UNREACHABLE',
  'SOURCE_CONNECTION_LOST',
  'SOURCE_TLS_REFUSED',
  'SOURCE_TLS_FAILED',
  'SOURCE_TOO_MANY_CONNECTIONS',
  'SOURCE_TARGET_SESSION',
])

const kinds: Readonly<
  Record<TargetSession, { fits(server: ServerState): boolean; readonly wanted: string }>
> = {
  any: { fits: () => true, wanted: 'any server' },
  'read-write': { fits: (one) => !one.isStandby && !one.isReadOnly, wanted: 'one that may write' },
  'read-only': { fits: (one) => one.isStandby || one.isReadOnly, wanted: 'one that only reads' },
  primary: { fits: (one) => !one.isStandby, wanted: 'a primary' },
  standby: { fits: (one) => one.isStandby, wanted: 'a standby' },
  'prefer-standby': { fits: (one) => one.isStandby, wanted: 'a standby' },
}

/** Rejects with a coded error that names every host tried and why it would not do. */
export async function tryHosts<T extends Attempted>(
  options: PostgresOptions,
  attempt: (address: HostAddress) => Promise<T>,
): Promise<T> {
  const { targetSession, memory } = options
  const hosts = memory.order(options.hosts)
  const failures: SluiceError[] = []
  const pass = async (session: TargetSession): Promise<T | undefined> => {
    failures.length = 0
    for (const address of hosts) {
      const outcome = await tryOne(session, address, attempt)
      if (!(outcome instanceof SluiceError)) return outcome
      failures.push(outcome)
    }
    return undefined
  }
  // What is preferred is decided once: a standby that comes back is no reason to move over.
  const isOpenToAny = targetSession === 'prefer-standby'
  const found = await pass(isOpenToAny && memory.isInUse ? 'any' : targetSession)
  if (found !== undefined) return found
  const other = isOpenToAny ? await pass('any') : undefined
  if (other !== undefined) return other
  throw together(failures)
}

/** The connection, or what is wrong with the host; other errors are thrown. */
async function tryOne<T extends Attempted>(
  session: TargetSession,
  address: HostAddress,
  attempt: (address: HostAddress) => Promise<T>,
): Promise<T | SluiceError> {
  try {
    const opened = await attempt(address)
    if (kinds[session].fits(opened.server)) return opened
    opened.close()
    const is = opened.server.isStandby ? 'a standby' : 'a primary'
    const readOnly = opened.server.isReadOnly ? ' that is read-only' : ''
    return new SluiceError(
      'SOURCE_TARGET_SESSION',
      `${shownAddress(address)} is ${is}${readOnly}, and target_session_attrs asks for ${kinds[session].wanted}`,
    )
  } catch (thrown) {
    const error = asSluiceError(thrown)
    if (!hostErrors.has(error.code)) throw error
    return error
  }
}

function together(failures: readonly SluiceError[]): SluiceError {
  const [first] = failures
  if (first === undefined) return new SluiceError('INTERNAL_ERROR', 'No host was tried')
  if (failures.length === 1) return first
  const isSame = failures.every(({ code }) => code === first.code)
  const reasons = failures.map(({ message }) => message).join('; ')
  return new SluiceError(
    isSame ? first.code : 'SOURCE_UNREACHABLE',
    `None of ${failures.length} hosts will do: ${reasons}`,
    { cause: new AggregateError(failures), ...(isSame ? { remedy: first.remedy } : {}) },
  )
}
