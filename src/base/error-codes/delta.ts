import type { ErrorDefinition } from '../errors.ts'

export const deltaErrors = {
  DELTA_UNSUPPORTED_FEATURE: {
    when: 'A Delta table asks for a table feature that Sluice does not implement.',
    remedy: 'See docs/delta-support.md; drop the feature from the table or use another table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DELTA_UNSUPPORTED_TYPE: {
    when: 'A Delta table has a column type that Sluice does not implement.',
    remedy: 'Leave the column out, or use another table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DELTA_LOG_CORRUPT: {
    when: 'A file of a Delta log can not be understood, or the log lacks protocol or metadata.',
    remedy: 'Restore the file from a backup, or move the table folder away and run a full refresh.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DELTA_LOG_GAP: {
    when: 'Versions are missing in a Delta log, and no checkpoint covers them.',
    remedy:
      'Restore the missing files, or move the table folder away and run a full refresh of the table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DELTA_VERSION_MISSING: {
    when: 'A version of a Delta table was asked for that does not exist or was cleaned up.',
    remedy: 'Ask for a version between the first and the last that the log still holds.',
    retry: 'never',
    exitCode: 2,
  },
  DELTA_DELETION_VECTOR_CORRUPT: {
    when: 'A deletion vector is missing, torn or does not match its descriptor.',
    remedy: 'Restore the file, or run a full refresh of the table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DELTA_COMMIT_INVALID: {
    when: 'A Delta commit was about to be written that breaks the rules of the protocol.',
    remedy: 'Nothing was written. Report it as a defect with the message.',
    retry: 'never',
    exitCode: 1,
  },
  DELTA_PATH_OUTSIDE_STORAGE: {
    when: 'A Delta log names a file that lies outside the storage root of the table.',
    remedy: 'Open the table through a storage root that holds all of its files.',
    retry: 'after-remedy',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
