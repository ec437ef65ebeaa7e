/** Takes away what a gateway made at its server, or says with which statements a person does. */
import type { Control } from './control.ts'
import { readServerState } from './log-guard.ts'
import { dropPublications, publicationNamesOf } from './insert-publication.ts'
import { dropSlot } from './replication-slot.ts'
import { quoteIdentifier, quoteLiteral } from './sql-text.ts'

export interface MadeAtServer {
  readonly slotName: string
  readonly publicationName: string
}

/** For somebody who has to do it by hand. */
export function removalStatements({ slotName, publicationName }: MadeAtServer): readonly string[] {
  return [
    `SELECT pg_drop_replication_slot(${quoteLiteral(slotName)});`,
    `DROP PUBLICATION IF EXISTS ${publicationNamesOf(publicationName).map(quoteIdentifier).join(', ')}; -- unless a person made it`,
  ]
}

/** In words, what was removed and what had to stay. Throws SOURCE_SLOT_TAKEN for a slot in use. */
export async function removeFromServer(
  control: Control,
  made: MadeAtServer & { readonly database: string; readonly isSlotChosen: boolean },
): Promise<readonly string[]> {
  const { slotName, publicationName, database, isSlotChosen } = made
  const { isStandby } = await readServerState(control)
  const slot = isSlotChosen
    ? `left replication slot "${slotName}", whose name was chosen: ${removalStatements(made)[0] ?? ''}`
    : (await dropSlot(control, slotName, database))
      ? `dropped replication slot "${slotName}"`
      : `there was no replication slot "${slotName}"`
  if (isStandby) {
    const [, statement = ''] = removalStatements(made)
    return [
      slot,
      `publication "${publicationName}" can only be dropped on the primary: ${statement}`,
    ]
  }
  const dropped = await dropPublications(control, publicationName)
  return [
    slot,
    ...(dropped.length === 0
      ? [`left publication "${publicationName}", which was not made here or is not there`]
      : dropped.map((name) => `dropped publication "${name}"`)),
  ]
}
