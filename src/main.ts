/** Composition root: the only file that builds everything. Read it first. */
import { SluiceError } from './base/errors.ts'
import type { App, AppOptions } from './cli/app.ts'

/** Opens the product on a data folder. */
export async function openApp(options: AppOptions): Promise<App> {
  throw new SluiceError('INTERNAL_ERROR', `nothing is wired for ${options.dataFolder} yet`)
}
