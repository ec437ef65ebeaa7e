/** Help texts, from the declarations of the commands. */
import { globalOptions } from './arguments.ts'
import type { Command, OptionDefinition } from './command.ts'

export function generalHelp(
  program: string,
  commands: readonly Command[],
  version: string,
): readonly string[] {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return [
    `sluice ${version}: keeps Delta tables equal to the tables of a database`,
    '',
    `usage: ${program} COMMAND [options]`,
    '',
    'commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'options of every command:',
    ...optionLines(globalOptions),
    '  --version            Print the version.',
    '',
    `"${program} help COMMAND" tells more. New here? "${program} quickstart" needs no database.`,
  ]
}

export function commandHelp(program: string, command: Command): readonly string[] {
  const own = optionLines(command.options)
  return [
    `usage: ${program} ${command.name} ${command.usage}`.trimEnd(),
    '',
    ...command.help,
    '',
    'options:',
    ...own,
    ...optionLines(globalOptions),
  ]
}

function optionLines(options: Readonly<Record<string, OptionDefinition>>): readonly string[] {
  return Object.entries(options).map(([name, { value, help }]) => {
    const spelled = value === undefined ? `--${name}` : `--${name} ${value}`
    return `  ${spelled.padEnd(19)}  ${help}`
  })
}
