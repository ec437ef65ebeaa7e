/** The command line: finds the command, runs it, turns every outcome into an exit code. */
import type { Clock } from '../base/clock.ts'
import { programName } from '../base/command-text.ts'
import { asSluiceError, hasCode, SluiceError } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import { createHumanLog, createJsonLog, logLevels } from '../observe/log-writer.ts'
import type { OpenApp } from './app.ts'
import { choiceOption, parseArguments, type ParsedArguments } from './arguments.ts'
import type { Command, CommandCall, ExitCode } from './command.ts'
import { checkCommand } from './commands/check.ts'
import { queryCommand } from './commands/query.ts'
import { quickstartCommand } from './commands/quickstart.ts'
import { refreshCommand } from './commands/refresh.ts'
import { removeCommand } from './commands/remove.ts'
import { runCommand } from './commands/run.ts'
import { statusCommand } from './commands/status.ts'
import { verifyCommand } from './commands/verify.ts'
import { printError } from './error-print.ts'
import { commandHelp, generalHelp } from './help.ts'
import { Output, type Terminal } from './output.ts'

export interface CliEnvironment {
  readonly stdout: Terminal
  readonly stderr: Terminal
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly version: string
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal
  readonly openApp: OpenApp
}

const defaultDataFolder = '.sluice'

const helpCommand: Command = {
  name: 'help',
  usage: '[COMMAND]',
  summary: 'Print help about a command.',
  help: ['Prints what the commands do and which options they take.'],
  options: {},
  minimumPositionals: 0,
  maximumPositionals: 1,
  run: async () => 0,
}

export const commands: readonly Command[] = [
  quickstartCommand,
  runCommand,
  checkCommand,
  statusCommand,
  verifyCommand,
  queryCommand,
  refreshCommand,
  removeCommand,
  helpCommand,
]

/** Never rejects. `args` without the program's name. */
export async function runCli(
  args: readonly string[],
  environment: CliEnvironment,
): Promise<ExitCode> {
  // Errors of the arguments are printed in the format they ask for, if that much can be told.
  const wantsJson = args.some(
    (arg, index) => arg === '--output=json' || (arg === 'json' && args[index - 1] === '--output'),
  )
  const output = new Output({ ...environment, format: wantsJson ? 'json' : 'human' })
  try {
    const parsed = parseArguments(args, commands)
    choiceOption(parsed.options, 'output', { values: ['human', 'json'], fallback: 'human' })
    return await dispatch(parsed, output, environment)
  } catch (error) {
    const known = abortedOr(error, environment.signal)
    printError(output, known)
    return known.exitCode
  }
}

/** What fails because of a stop that was asked for is that stop. */
function abortedOr(error: unknown, signal: AbortSignal): SluiceError {
  const isAbort = error instanceof Error && error.name === 'AbortError'
  if (!isAbort || !signal.aborted) return asSluiceError(error)
  return new SluiceError('ABORTED', 'stopped by a signal', { cause: error })
}

async function dispatch(
  parsed: ParsedArguments,
  output: Output,
  environment: CliEnvironment,
): Promise<ExitCode> {
  const program = programName(environment.env)
  const { command, options, positionals } = parsed
  const print = (lines: readonly string[]): ExitCode => {
    for (const line of lines) output.line(line)
    return 0
  }
  if (parsed.wantsVersion) return print([environment.version])
  if (command === undefined) return print(generalHelp(program, commands, environment.version))
  if (command === helpCommand) {
    if (positionals.length === 0) return print(generalHelp(program, commands, environment.version))
    const about = parseArguments([positionals[0] ?? ''], commands).command ?? helpCommand
    return print(commandHelp(program, about))
  }
  if (options['help'] === true) return print(commandHelp(program, command))
  checkPositionals(command, positionals, program)
  const log = createLogFor(output, options, environment)
  const call = createCall({ parsed, output, environment, program, log })
  return await command.run(call)
}

function checkPositionals(command: Command, positionals: readonly string[], program: string): void {
  const remedy = `usage: ${program} ${command.name} ${command.usage}`
  if (positionals.length < command.minimumPositionals) {
    throw new SluiceError('CONFIG_USAGE', `${command.name} needs more arguments`, { remedy })
  }
  const extra = positionals[command.maximumPositionals]
  if (extra !== undefined) {
    throw new SluiceError('CONFIG_USAGE', `${command.name} does not take "${extra}"`, { remedy })
  }
}

function createLogFor(
  output: Output,
  options: ParsedArguments['options'],
  { clock }: CliEnvironment,
): Log {
  const minimum = choiceOption(options, 'log-level', { values: logLevels, fallback: 'warn' })
  const writer = { writeLine: (line: string) => output.note(line), clock, minimum }
  return output.format === 'json' ? createJsonLog(writer) : createHumanLog(writer)
}

function createCall(parts: {
  readonly parsed: ParsedArguments
  readonly output: Output
  readonly environment: CliEnvironment
  readonly program: string
  readonly log: Log
}): CommandCall {
  const { parsed, output, environment, program, log } = parts
  const { env, clock, signal, openApp } = environment
  const data = parsed.options['data']
  const dataFolder = typeof data === 'string' ? data : defaultDataFolder
  return {
    options: parsed.options,
    positionals: parsed.positionals,
    output,
    env,
    clock,
    signal,
    program,
    dataFolder,
    withApp: async (catalog, work) => {
      const app = await openApp({ dataFolder, env, log, catalog })
      try {
        return await work(app)
      } finally {
        await closeQuietly(app, log)
      }
    },
  }
}

/** A failure to close must not hide how the work ended. */
async function closeQuietly(app: { close(): Promise<void> }, log: Log): Promise<void> {
  try {
    await app.close()
  } catch (error) {
    const { code, message } = asSluiceError(error)
    if (!hasCode(error, 'ABORTED')) log.error('closing failed', { code, reason: message })
  }
}
