/**
 * What the server has to offer, all at once: the value found and the statement that mends it. Each
 * theme has a file of its own; here they are asked in one order.
 */
import { asSluiceError } from '../../base/errors.ts'
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { triggerFindings } from './ddl-trigger-finding.ts'
import { failoverFindings } from './failover.ts'
import { shownHosts } from './hosts.ts'
import { recogniseService } from './managed-service.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import { poolerFindings, replicationFinding } from './prerequisites-access.ts'
import {
  leftSlotFindings,
  retentionFindings,
  slotFinding,
  transactionFindings,
} from './prerequisites-log.ts'
import { roleFindings, roleSql } from './prerequisites-role.ts'
import { readSlot } from './replication-slot.ts'
import { standbyFindings } from './standby-findings.ts'
import {
  capacityFindings,
  encodingFinding,
  leastVersion,
  pluginFindings,
  serverSql,
  versionFinding,
  walLevelFinding,
} from './prerequisites-server.ts'

export interface PrerequisiteContext {
  readonly options: PostgresOptions
  readonly control: Control
  readonly slotName: string
  /** The slot that will be made has another name. */
  readonly isSlotUnnamed?: boolean
  readonly publicationName: string
}

/** Findings about the server; one finding when it cannot be reached at all. */
export async function checkServer(context: PrerequisiteContext): Promise<readonly Finding[]> {
  const { control, slotName, options } = context
  let row: ControlRow | undefined
  try {
    ;[row] = await control.query(serverSql, [slotName])
  } catch (error) {
    const { code, message, remedy } = asSluiceError(error)
    return [unmet('error', code, 'connection', message, remedy)]
  }
  if (row === undefined) return []
  // An older server lacks the views that the other questions are put to.
  if (Number(row['version_num']) < leastVersion) return [versionFinding(row)]
  return [
    ok('connection', `${shownHosts(options)}, database ${options.database}`),
    ...(await findingsOf(context, row)),
  ]
}

async function findingsOf(context: PrerequisiteContext, row: ControlRow): Promise<Finding[]> {
  const { control, slotName, isSlotUnnamed = false, publicationName, options } = context
  const service = await recogniseService(control)
  const [role = {}] = await control.query(roleSql, [publicationName])
  const slot = isSlotUnnamed ? undefined : await readSlot(control, slotName)
  const capacity = capacityFindings(row, service)
  const canConnect =
    role['can_replicate'] === 't' && capacity.every(({ severity }) => severity === 'ok')
  return [
    ...(service.kind === 'own' ? [] : [ok('service', service.name)]),
    ...(await poolerFindings(options)),
    versionFinding(row),
    encodingFinding(row),
    walLevelFinding(row, service),
    ...pluginFindings(row, service),
    ...capacity,
    ...roleFindings(role, publicationName, service),
    ...(canConnect ? [await replicationFinding(options)] : []),
    isSlotUnnamed
      ? ok('replication slot', 'A slot will be made, and named, by the first run')
      : await slotFinding(control, slotName, { slot, database: options.database }),
    ...(await leftSlotFindings(control, slotName)),
    ...(row['is_standby'] === 't' ? await standbyFindings(control) : []),
    ...(await failoverFindings(
      control,
      { version: Number(row['version_num']), isStandby: row['is_standby'] === 't' },
      slot,
    )),
    ...(await retentionFindings(control, service)),
    ...(await transactionFindings(control)),
    ...(await triggerFindings(control, {
      version: Number(row['version_num']),
      role: role['role'] ?? '',
    })),
  ]
}
