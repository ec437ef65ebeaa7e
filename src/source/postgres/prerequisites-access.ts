/** What is checked of the way to the server: do sessions reach the server itself, and stay there. */
import { asSluiceError } from '../../base/errors.ts'
import type { Finding } from '../finding.ts'
import type { PostgresOptions } from './connection-options.ts'
import { shownAddress } from './hosts.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import { WireConnection } from './wire/wire-connection.ts'

/** A replication session needs an entry of its own in pg_hba.conf and no pooler in between. */
export async function replicationFinding(options: PostgresOptions): Promise<Finding> {
  const subject = 'replication connection'
  try {
    const connection = await WireConnection.open(options, { isReplication: true })
    connection.close()
    return ok(subject, `${shownAddress(connection.address)} accepts it`)
  } catch (error) {
    const { code, message, remedy } = asSluiceError(error)
    return unmet('error', code, subject, message, remedy)
  }
}

/** Two sessions that are served by one process are lent it by a pooler, statement by statement. */
export async function poolerFindings(options: PostgresOptions): Promise<Finding[]> {
  const first = await WireConnection.open(options)
  try {
    if (!first.isProxied) return []
    const second = await WireConnection.open(options)
    second.close()
    const subject = 'pooler'
    const where = shownAddress(first.address)
    if (second.processId !== first.processId) {
      return [
        ok(subject, `A proxy stands at ${where}; it gives every session a process of its own`),
      ]
    }
    const message = `${where} is a pooler: two sessions at a time are served by process ${first.processId}`
    const remedy =
      "Set host and port to the server's own, not to the pooler's (often port 6432 or 6543, or a host name with -pooler)."
    return [unmet('error', 'SOURCE_POOLER', subject, message, remedy)]
  } finally {
    first.close()
  }
}
