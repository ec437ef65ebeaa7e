/** Why the tables of a gateway are not followed, as it said last: by table id. */
import type { GatewayStatus, TableStatus } from '../gateway/gateway-status.ts'
import type { Context } from './context.ts'
import { lastWords } from './live-status.ts'
import type { Lane } from './runtime.ts'

export type KnownProblems = ReadonlyMap<string, Pick<TableStatus, 'name'> & Trouble>

interface Trouble {
  readonly problem: NonNullable<TableStatus['problem']>
}

function problemsIn(tables: readonly TableStatus[]): KnownProblems {
  return new Map(
    tables.flatMap(({ tableId, name, problem }) =>
      problem === undefined ? [] : [[tableId, { name, problem }] as const],
    ),
  )
}

/** Of the run that is over, in this process or in the one before it. */
export async function problemsBefore(
  context: Pick<Context, 'store' | 'clock'>,
  { gateway }: Lane,
): Promise<KnownProblems> {
  const { tables } = gateway.gateway.status()
  if (tables.length > 0) return problemsIn(tables)
  const words = await lastWords<GatewayStatus>(
    context.store,
    gateway.definition.id,
    context.clock.nowMs(),
  )
  return problemsIn(words?.status.tables ?? [])
}

/** What is so now, and of tables that wait for a copy why the one before came to nothing. */
export function problemsAfter({ gateway }: Lane, before: KnownProblems): KnownProblems {
  const { tables } = gateway.gateway.status()
  const waiting = tables.filter(({ state }) => state === 'pending')
  const former = waiting.flatMap(({ tableId }) => {
    const known = before.get(tableId)
    return known === undefined ? [] : [[tableId, known] as const]
  })
  return new Map([...former, ...problemsIn(tables)])
}
