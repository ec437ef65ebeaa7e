/** What is said of the optional event triggers: nothing requires them. */
import type { Finding } from '../finding.ts'
import type { Control } from './control.ts'
import {
  enableStatements,
  grantStatements,
  installScript,
  readTriggerState,
  type TriggerState,
} from './ddl-trigger.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import { canSendMessages } from './start-options.ts'

const subject = 'event triggers (optional)'

/** `role` is the gateway's. No finding before version 14, which does not send what they write. */
export async function triggerFindings(
  control: Pick<Control, 'query'>,
  { version, role }: { readonly version: number; readonly role: string },
): Promise<Finding[]> {
  if (!canSendMessages(version)) return []
  return [findingOf((await readTriggerState(control)).kind, role)]
}

function findingOf(state: TriggerState['kind'], role: string): Finding {
  const trouble = (message: string, remedy: string): Finding =>
    unmet('warning', 'SOURCE_EVENT_TRIGGER', subject, message, remedy)
  switch (state) {
    case 'ready':
      return ok(subject, 'installed: changes of tables are followed at their exact place')
    case 'old':
      return trouble(
        'They are of another version and are not used; this script takes their place',
        installScript(role),
      )
    case 'disabled':
      return trouble('Not all of them are enabled: they are not used', enableStatements())
    case 'unreadable':
      return trouble('Our role may not read their token: they are not used', grantStatements(role))
    default:
      return {
        ...ok(
          subject,
          'not installed; with them more changes of tables are followed in place, and at once. A superuser may run:',
        ),
        remedy: installScript(role),
      }
  }
}
