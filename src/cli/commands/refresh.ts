/** `sluice refresh TABLE --full`: copies tables anew. */
import { SluiceError } from '../../base/errors.ts'
import { flag, type Command } from '../command.ts'
import { finishRun } from '../run-result.ts'

export const refreshCommand: Command = {
  name: 'refresh',
  usage: 'TABLE ...|--all --full [--data DIR]',
  summary: 'Copy tables anew from the source.',
  help: [
    'Copies the tables anew and replaces each in one commit: readers see the old rows until the new',
    'ones are complete. Other tables go on. TABLE is [catalog.][schema.]table of the destination.',
    'A process that runs the gateway is asked to do it and waited for; Ctrl-C leaves it to that one.',
  ],
  options: {
    all: { type: 'boolean', help: 'All tables.' },
    full: { type: 'boolean', help: 'Needed, as copying may take long.' },
  },
  minimumPositionals: 0,
  maximumPositionals: Number.POSITIVE_INFINITY,
  run: async (call) => {
    const tables = call.positionals
    if (flag(call, 'all') === tables.length > 0) {
      throw new SluiceError('CONFIG_USAGE', 'refresh needs either table names or --all')
    }
    if (!flag(call, 'full')) {
      throw new SluiceError('CONFIG_USAGE', 'refresh copies whole tables and wants --full', {
        remedy: `Run: ${call.program} refresh ${tables.join(' ') || '--all'} --full`,
      })
    }
    return await call.withApp('existing', async (app) => {
      const running = await app.refresh({
        tables: tables.length === 0 ? undefined : tables,
        signal: call.signal,
      })
      return await finishRun(call, running, { mode: 'once' })
    })
  },
}
