/** Every error code, gathered from the table of the folder that raises it. */
import { appErrors } from './error-codes/app.ts'
import { baseErrors } from './error-codes/base.ts'
import { configErrors } from './error-codes/config.ts'
import { deltaErrors } from './error-codes/delta.ts'
import { destinationErrors } from './error-codes/destination.ts'
import { sourceErrors } from './error-codes/source.ts'
import { stagingErrors } from './error-codes/staging.ts'

export const errorTable = {
  ...baseErrors,
  ...appErrors,
  ...configErrors,
  ...sourceErrors,
  ...stagingErrors,
  ...deltaErrors,
  ...destinationErrors,
}

export type ErrorCode = keyof typeof errorTable
