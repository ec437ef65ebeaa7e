/** `sluice verify`: proves that the destination equals the source at one position. */
import type { Command } from '../command.ts'
import { countOf } from '../text.ts'
import { isProven, isWithoutDifference, printVerified } from '../verified-print.ts'

export const verifyCommand: Command = {
  name: 'verify',
  usage: '[TABLE ...] [--data DIR]',
  summary: 'Prove that destination tables equal their source tables.',
  help: [
    'Brings the tables to one position of the source log and compares every cell of source and',
    'destination there, while both may go on changing. TABLE is [catalog.][schema.]table of the',
    'destination; without one all tables are compared. Of a table whose inserts alone are followed',
    'only those can be compared: it is complete, or not comparable where the source changed rows.',
    'A table that a schema object brought and that is gone at the source is named and not compared,',
    'and so is one whose pipeline the file does not have any more.',
    'Exit code 0: no table differs. 1: one does, or could not be compared at all.',
  ],
  options: {},
  minimumPositionals: 0,
  maximumPositionals: Number.POSITIVE_INFINITY,
  run: async (call) =>
    await call.withApp('existing', async (app) => {
      const { output } = call
      const report = await app.verify({
        tables: call.positionals.length === 0 ? undefined : call.positionals,
        signal: call.signal,
        onTable: (table) => printVerified(output, table),
      })
      const unequal = report.tables.filter((table) => !isWithoutDifference(table)).length
      const proven = report.tables.filter(isProven).length
      const others = (['complete', 'not comparable'] as const).map((kind) => ({
        kind,
        count: report.tables.filter((table) => table.insertsOnly?.kind === kind).length,
      }))
      const gone = report.tables.filter(({ isGone }) => isGone === true).length
      const left = report.tables.filter(({ isLeft }) => isLeft === true).length
      const withdrawn = report.tables.filter((table) => table.withdrawn !== undefined).length
      output.event('finished', {
        tables: report.tables.length,
        unequal,
        complete: others[0]?.count ?? 0,
        not_comparable: others[1]?.count ?? 0,
        gone,
        left,
        withdrawn,
      })
      if (output.format === 'human') {
        output.line(
          unequal === 0
            ? output.style('green', `${countOf(proven, 'table')} equal`) +
                others
                  .map(({ kind, count }) => (count === 0 ? '' : `, ${count} ${kind}`))
                  .join('') +
                (gone === 0 ? '' : `, ${gone} gone at the source`) +
                (left === 0 ? '' : `, ${left} to which nothing leads any more`) +
                (withdrawn === 0 ? '' : `, ${withdrawn} of no pipeline of the file`)
            : output.style('red', `${countOf(unequal, 'table')} not proven equal`),
        )
      }
      return unequal === 0 ? 0 : 1
    }),
}
