/** Something wrong in a resource file, with the place a person has to look at. */
import type { ErrorCode } from '../base/error-codes.ts'

/** Where in the file; line and column count from 1. */
export interface Place {
  readonly line: number
  readonly column: number
  /** `resources.pipelines.shop.continuous` */
  readonly path: string
}

export interface ConfigProblem extends Place {
  readonly severity: 'error' | 'warning'
  readonly code: ErrorCode
  readonly file: string
  /** Names the actual value unless it may be a secret. */
  readonly message: string
  readonly remedy: string
}

/** `sluice.yml:12:5`, as editors and terminals link it. */
export function formatPlace(problem: ConfigProblem): string {
  return `${problem.file}:${problem.line}:${problem.column}`
}
