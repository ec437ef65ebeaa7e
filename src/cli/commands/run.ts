/** `sluice run FILE`: deploy the file and do what it declares. */
import type { DeploymentChange } from '../../catalog/store.ts'
import { flag, type Command, type CommandCall } from '../command.ts'
import { loadResources } from '../load-resources.ts'
import { finishRun } from '../run-result.ts'

export const runCommand: Command = {
  name: 'run',
  usage: 'FILE [--once] [--data DIR]',
  summary: 'Deploy a resource file and run its gateways and pipelines.',
  help: [
    'Deploys the connections, gateways and pipelines of FILE and runs them: copies what is not yet',
    'loaded, then follows the changes until it is stopped (Ctrl-C or SIGTERM: clean stop; a second',
    'one: at once). Whenever it is started again it goes on where it stopped.',
  ],
  options: {
    once: {
      type: 'boolean',
      help: 'Stop when everything up to the present position of the source is applied.',
    },
  },
  minimumPositionals: 1,
  maximumPositionals: 1,
  run: async (call) => {
    const resources = await loadResources(call)
    if (resources === undefined) return 2
    return await call.withApp('create', async (app) => {
      printChanges(call, await app.deploy(resources))
      const mode = flag(call, 'once') ? 'once' : 'continuous'
      const running = app.start(resources, { mode, signal: call.signal })
      return await finishRun(call, running, { mode })
    })
  },
}

function printChanges(
  { output, program }: CommandCall,
  changes: readonly DeploymentChange[],
): void {
  for (const { kind, resource, key } of changes) {
    output.event('deployed', { resource, key, change: kind })
    if (kind === 'undeclared') {
      const what =
        resource === 'gateway'
          ? 'nothing runs it, and its source keeps its log for it'
          : 'nothing runs it, and its tables stay as they are'
      output.note(
        `${resource} ${key} is deployed and not in the file: ${what}. To take it away: ${program} remove ${key} --yes`,
      )
    } else if (kind !== 'unchanged' && output.format === 'human')
      output.note(`${kind} ${resource} ${key}`)
  }
}
