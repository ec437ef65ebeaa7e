/** `sluice remove GATEWAY`: drops its slot and publication at the source and forgets it. */
import { SluiceError } from '../../base/errors.ts'
import { flag, type Command } from '../command.ts'
import { printProblem } from '../error-print.ts'

export const removeCommand: Command = {
  name: 'remove',
  usage: 'GATEWAY --yes [--forget] [--data DIR]',
  summary: 'Take a gateway away, with what it made at its source.',
  help: [
    'Drops the replication slot and the publication that the gateway made at its source, and forgets',
    'the gateway and its pipelines. Loaded tables and staged data stay. A source keeps its log for as',
    'long as a slot is there, so remove a gateway that is not run any more. When the source cannot be',
    'asked, the statements to run there are printed and nothing is forgotten, unless --forget is given.',
  ],
  options: {
    yes: { type: 'boolean', help: 'Needed, as the tables have to be copied anew after it.' },
    forget: { type: 'boolean', help: 'Forget it also when its source cannot be asked.' },
  },
  minimumPositionals: 1,
  maximumPositionals: 1,
  run: async (call) => {
    const { output, positionals, program } = call
    const gateway = positionals[0] ?? ''
    const isConfirmed = flag(call, 'yes')
    return await call.withApp('existing', async (app) => {
      const how = { gateway, isConfirmed, isForgotten: flag(call, 'forget') }
      const { steps, problem } = await app.remove(how)
      if (!isConfirmed) {
        const what = steps.length === 0 ? 'it made nothing at its source' : steps.join(' ')
        throw new SluiceError('CONFIG_USAGE', `remove wants --yes; it would run: ${what}`, {
          remedy: `Run: ${program} remove ${gateway} --yes`,
        })
      }
      output.event('removed', { gateway, steps, is_done: problem === undefined })
      for (const step of steps) output.line(step)
      if (problem === undefined) return 0
      printProblem(output, problem, gateway)
      return 1
    })
  },
}
