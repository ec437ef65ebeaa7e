/** Reads the resource file of a command and reports what is wrong with it. */
import type { Resources } from '../catalog/resources.ts'
import type { CommandCall } from './command.ts'
import { printConfigProblems } from './error-print.ts'

/** undefined when the file has errors; they are printed, and the exit code is 2. */
export async function loadResources(call: CommandCall): Promise<Resources | undefined> {
  const [path = ''] = call.positionals
  // The parser is needed for nothing else.
  const { readResourceFile } = await import('../catalog/resource-file.ts')
  const result = await readResourceFile(path, call.env)
  printConfigProblems(call.output, result.kind === 'valid' ? result.warnings : result.problems)
  return result.kind === 'valid' ? result.resources : undefined
}
