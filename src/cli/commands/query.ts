/** `sluice query "SQL"`: looks at destination tables. */
import type { Command, ExitCode } from '../command.ts'
import { printTable } from '../table-print.ts'

export const queryCommand: Command = {
  name: 'query',
  usage: '"SQL" [--data DIR]',
  summary: 'Query destination tables with SQL.',
  help: [
    'Runs one read-only statement (DuckDB SQL) over the destination tables. A table is named',
    'catalog.schema.table, schema.table, or table alone where that is unique.',
    'With --output json every row is one JSON object; integers beyond 2^53 are text there.',
  ],
  options: {},
  minimumPositionals: 1,
  maximumPositionals: 1,
  run: async (call) =>
    await call.withApp('existing', async (app): Promise<ExitCode> => {
      const { output } = call
      const result = await app.query(call.positionals[0] ?? '', call.signal)
      if (output.format === 'json') {
        for (const row of result.rows) {
          const cells = result.columns.map(({ name }, index) => [name, row[index] ?? null])
          output.json(Object.fromEntries(cells))
        }
      } else {
        for (const line of printTable(result, { columns: output.columns })) output.line(line)
      }
      return 0
    }),
}
