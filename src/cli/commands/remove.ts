/** `sluice remove KEY`: a gateway, with its slot and publication at the source, or a pipeline. */
import { SluiceError } from '../../base/errors.ts'
import { flag, type Command } from '../command.ts'
import { printProblem } from '../error-print.ts'

export const removeCommand: Command = {
  name: 'remove',
  usage: 'KEY --yes [--forget] [--data DIR]',
  summary: 'Take a gateway away, with what it made at its source, or a pipeline.',
  help: [
    'KEY is that of the file. Of a gateway:',
    'Drops the replication slot and the publication that the gateway made at its source, and forgets',
    'the gateway and its pipelines. Loaded tables and staged data stay. A source keeps its log for as',
    'long as a slot is there, so remove a gateway that is not run any more. When the source cannot be',
    'asked, the statements to run there are printed and nothing is forgotten, unless --forget is given.',
    'Of a pipeline: forgets it and its tables, which stay as they are. Another pipeline may take one',
    'over: it loads the table anew in one commit. Deployed again, it goes on with its tables itself.',
  ],
  options: {
    yes: {
      type: 'boolean',
      help: 'Needed, as the tables of a gateway have to be copied anew after it.',
    },
    forget: { type: 'boolean', help: 'Forget it also when its source cannot be asked.' },
  },
  minimumPositionals: 1,
  maximumPositionals: 1,
  run: async (call) => {
    const { output, positionals, program } = call
    const key = positionals[0] ?? ''
    const isConfirmed = flag(call, 'yes')
    return await call.withApp('existing', async (app) => {
      const how = { key, isConfirmed, isForgotten: flag(call, 'forget') }
      const { resource, steps, problem } = await app.remove(how)
      if (!isConfirmed) {
        const what = steps.length === 0 ? 'it made nothing at its source' : steps.join(' ')
        const would = resource === 'gateway' ? `it would run: ${what}` : what
        throw new SluiceError('CONFIG_USAGE', `remove wants --yes; ${would}`, {
          remedy: `Run: ${program} remove ${key} --yes`,
        })
      }
      output.event('removed', { [resource]: key, steps, is_done: problem === undefined })
      for (const step of steps) output.line(step)
      if (problem === undefined) return 0
      printProblem(output, problem, key)
      return 1
    })
  },
}
