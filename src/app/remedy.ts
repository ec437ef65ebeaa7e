/**
 * Remedies as commands that can be pasted: the error tables say `sluice refresh TABLE --full`, here
 * the program, the table and the data folder get their real names.
 */
import { programName, shellWord } from '../base/command-text.ts'
import { asSluiceError, SluiceError, type Trouble } from '../base/errors.ts'
import type { RunProgress } from '../cli/app.ts'
import type { Log, LogFields } from '../observe/log.ts'
import type { Context } from './context.ts'

type Place = Pick<Context, 'dataFolder' | 'env'>

const removal = /\bsluice remove (\S+) --yes(?! --forget)/g
const command = /\bsluice refresh (TABLE|--all) --full\b/g

/** `table`: `catalog.schema.table`; without it `TABLE` stays for the reader to fill in. */
export function spelledOut(place: Place, remedy: string, table = 'TABLE'): string {
  const at = `--data ${shellWord(place.dataFolder)}`
  return remedy
    .replace(command, (_whole, what: string) => {
      const tables = what === 'TABLE' ? shellWord(table) : what
      return `${programName(place.env)} refresh ${tables} --full ${at}`
    })
    .replace(
      removal,
      (_whole, key: string) => `${programName(place.env)} remove ${key} --yes ${at}`,
    )
}

export function spelledProblem<T extends { readonly remedy: string }>(
  place: Place,
  problem: T,
  table?: string,
): T {
  return { ...problem, remedy: spelledOut(place, problem.remedy, table) }
}

/** The remedies in its lines can be run too; `TABLE` is the line's own where that is a destination. */
export function spelledLog(place: Place, log: Log): Log {
  const spelled = (fields?: LogFields): LogFields | undefined => {
    if (typeof fields?.['remedy'] !== 'string') return fields
    const { remedy, table } = fields
    const isDestination = typeof table === 'string' && /^[^.]+\.[^.]+\.[^.]+$/.test(table)
    return { ...fields, remedy: spelledOut(place, remedy, isDestination ? table : undefined) }
  }
  return {
    debug: (message, fields) => log.debug(message, spelled(fields)),
    info: (message, fields) => log.info(message, spelled(fields)),
    warn: (message, fields) => log.warn(message, spelled(fields)),
    error: (message, fields) => log.error(message, spelled(fields)),
    child: (fields) => spelledLog(place, log.child(fields)),
  }
}

/** What is told of running work, with remedies that can be run. */
export function spelledProgress(place: Place, progress: RunProgress): RunProgress {
  return {
    ...progress,
    gateways: progress.gateways.map(({ name, status }) => {
      return { name, status: { ...status, tables: spelledTables(place, status.tables) } }
    }),
    pipelines: progress.pipelines.map(({ name, status }) => {
      return { name, status: { ...status, tables: spelledTables(place, status.tables) } }
    }),
  }
}

function spelledTables<
  T extends { readonly problem?: Trouble | undefined; readonly destination?: string },
>(place: Place, tables: readonly T[]): readonly T[] {
  return tables.map((table) =>
    table.problem === undefined
      ? table
      : { ...table, problem: spelledProblem(place, table.problem, table.destination) },
  )
}

/** The same error; what its remedy tells to run can be run. */
export function spelledError(place: Place, thrown: unknown): SluiceError {
  const error = asSluiceError(thrown)
  const remedy = spelledOut(place, error.remedy)
  if (remedy === error.remedy) return error
  const { code, message, cause, stack } = error
  const spelled = new SluiceError(code, message, { cause, remedy })
  if (stack !== undefined) spelled.stack = stack
  return spelled
}

/** Rejects with `spelledError`. */
export async function withCommands<T>(place: Place, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw isAbort(error) ? error : spelledError(place, error)
  }
}

/** What a signal caused is judged where the signal is known. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
