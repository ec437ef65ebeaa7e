import type { ErrorDefinition } from '../errors.ts'

export const baseErrors = {
  INTERNAL_ERROR: {
    when: 'Something happened that the program did not foresee.',
    remedy: 'Run again with --log-level debug and report the output as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
  ABORTED: {
    when: 'The work was stopped by a signal or by the person who asked for it.',
    remedy: 'Start it again; it goes on where it stopped.',
    retry: 'never',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
