/** The command line as a command with its options; everything else is CONFIG_USAGE with a hint. */
import { parseArgs } from 'node:util'
import { SluiceError } from '../base/errors.ts'
import { nearest } from '../catalog/nearest.ts'
import type { Command, OptionDefinition } from './command.ts'

export const globalOptions: Readonly<Record<string, OptionDefinition>> = {
  data: {
    type: 'string',
    value: 'DIR',
    help: 'Folder of catalog, staging and lake. Default: .sluice',
  },
  output: {
    type: 'string',
    value: 'human|json',
    help: 'json: one JSON line per event on standard output. Default: human',
  },
  'log-level': {
    type: 'string',
    value: 'LEVEL',
    help: 'debug, info, warn or error; the log goes to standard error. Default: warn',
  },
  help: { type: 'boolean', help: 'Print this help.' },
}

export interface ParsedArguments {
  /** undefined when no command was named. */
  readonly command: Command | undefined
  readonly options: Readonly<Record<string, string | boolean>>
  /** Without the command's name. */
  readonly positionals: readonly string[]
  readonly wantsVersion: boolean
}

/** Options may stand before and after the command. Throws CONFIG_USAGE. */
export function parseArguments(
  args: readonly string[],
  commands: readonly Command[],
): ParsedArguments {
  const known: Record<string, OptionDefinition> = { ...globalOptions }
  for (const command of commands) Object.assign(known, command.options)
  const { tokens } = parseArgs({
    args: [...args],
    options: {
      ...Object.fromEntries(Object.entries(known).map(([name, { type }]) => [name, { type }])),
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))
  const [name, ...positionals] = words
  const command = findCommand(name, commands)
  const options: Record<string, string | boolean> = {}
  let wantsVersion = false
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    if (token.name === 'version') wantsVersion = true
    else options[token.name] = optionValue(token, { command, known })
  }
  return { command, options, positionals, wantsVersion }
}

function findCommand(name: string | undefined, commands: readonly Command[]): Command | undefined {
  if (name === undefined) return undefined
  const command = commands.find((candidate) => candidate.name === name)
  if (command !== undefined) return command
  const guess = nearest(
    name,
    commands.map((candidate) => candidate.name),
  )
  throw new SluiceError(
    'CONFIG_USAGE',
    `there is no command "${name}"`,
    guess === undefined ? {} : { remedy: `Did you mean "${guess}"?` },
  )
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

function optionValue(
  token: OptionToken,
  scope: {
    readonly command: Command | undefined
    readonly known: Readonly<Record<string, OptionDefinition>>
  },
): string | boolean {
  const allowed = { ...globalOptions, ...(scope.command?.options ?? scope.known) }
  const definition = Object.hasOwn(allowed, token.name) ? allowed[token.name] : undefined
  if (definition === undefined) throw unknownOption(token, scope.command, Object.keys(allowed))
  if (definition.type === 'boolean') {
    if (token.value === undefined) return true
    throw new SluiceError('CONFIG_USAGE', `${token.rawName} takes no value`)
  }
  const isMissing =
    token.value === undefined || (token.inlineValue !== true && token.value.startsWith('-'))
  if (isMissing || token.value === undefined || token.value === '') {
    throw new SluiceError('CONFIG_USAGE', `${token.rawName} needs a value`, {
      remedy: `Write ${token.rawName} ${definition.value ?? 'VALUE'}.`,
    })
  }
  return token.value
}

function unknownOption(
  token: OptionToken,
  command: Command | undefined,
  allowed: readonly string[],
): SluiceError {
  const guess = nearest(token.name, allowed)
  const where = command === undefined ? '' : ` of "${command.name}"`
  return new SluiceError(
    'CONFIG_USAGE',
    `${token.rawName} is not an option${where}`,
    guess === undefined ? {} : { remedy: `Did you mean --${guess}?` },
  )
}

/** One of `values`, or `fallback`. Throws CONFIG_USAGE. */
export function choiceOption<T extends string>(
  options: Readonly<Record<string, string | boolean>>,
  name: string,
  choice: { readonly values: readonly T[]; readonly fallback: T },
): T {
  const text = options[name]
  if (text === undefined) return choice.fallback
  const value = choice.values.find((candidate) => candidate === text)
  if (value !== undefined) return value
  throw new SluiceError('CONFIG_USAGE', `--${name} "${String(text)}" is not known`, {
    remedy: `Write --${name} ${choice.values.join('|')}.`,
  })
}
