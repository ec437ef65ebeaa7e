/**
 * The product behind the commands: every method of `App`, put together from its parts. A part is
 * loaded when it is asked for, so that a command that only looks answers at once.
 */
import type { App, AppOptions, Running, RunResult } from '../cli/app.ts'
import { type Context, openContext } from './context.ts'
import { spelledProblem, spelledProgress, withCommands } from './remedy.ts'

export async function openApp(options: AppOptions): Promise<App> {
  const context = openContext(options)
  return {
    deploy: async (resources) => await context.store.deploy(resources),
    check: async (resources, signal) => {
      const { checkAll } = await import('./check.ts')
      return await checkAll(context, resources, signal)
    },
    start: (resources, how) =>
      startLater(async () => {
        const { startRun } = await import('./run.ts')
        return spelledRun(context, startRun(context, resources, how))
      }),
    status: async () => {
      const { statusReport } = await import('./status.ts')
      return await statusReport(context)
    },
    verify: async (how) => {
      const { verifyDeployed } = await import('./deployed.ts')
      return await withCommands(context, verifyDeployed(context, how))
    },
    query: async (sql) => {
      const { runQuery } = await import('./query.ts')
      return await runQuery(context, sql)
    },
    refresh: async (how) => {
      const { refreshDeployed } = await import('./deployed.ts')
      return spelledRun(context, await withCommands(context, refreshDeployed(context, how)))
    },
    remove: async (how) => {
      const { removeDeployed } = await import('./remove.ts')
      return await withCommands(context, removeDeployed(context, how))
    },
    quickstart: async (how) => {
      const { parseResourceFile } = await import('../catalog/resource-file.ts')
      const { runQuickstart } = await import('../quickstart/quickstart.ts')
      const { dataFolder, env, log } = options
      return await runQuickstart(how, { openApp, parseResourceFile, dataFolder, env, log })
    },
    close: async () => await context.close(),
  }
}

/** Work that begins once its code is there. */
function startLater(start: () => Promise<Running>): Running {
  let running: Running | undefined
  const done = (async () => {
    running = await start()
    return await running.done
  })()
  return {
    progress: () => running?.progress() ?? { phase: 'starting', gateways: [], pipelines: [] },
    done,
  }
}

/** The remedies of what may fail as commands that can be pasted. */
function spelledRun(context: Context, running: Running): Running {
  const spelled = async (): Promise<RunResult> => {
    const result = await withCommands(context, running.done)
    const failedTables = result.failedTables.map(({ table, problem }) => ({
      table,
      problem: spelledProblem(context, problem, table),
    }))
    return { ...result, failedTables }
  }
  return { progress: () => spelledProgress(context, running.progress()), done: spelled() }
}
