import type { ErrorDefinition } from '../errors.ts'

export const appErrors = {
  GATEWAY_RUNNING: {
    when: 'Another process of the same data folder runs the gateway.',
    remedy: 'Stop that process, or let it do the work.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  GATEWAY_STOPPED: {
    when: 'The process that runs a gateway ended before it had answered.',
    remedy: 'Run the command again. A refresh that was asked for is also done by the next run.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  CATALOG_NOTHING_DEPLOYED: {
    when: 'A command needs a gateway and the data folder has none.',
    remedy: 'Run: sluice run FILE --once',
    retry: 'after-remedy',
    exitCode: 2,
  },
  CATALOG_UNKNOWN_GATEWAY: {
    when: 'No gateway or pipeline of that key is deployed to the data folder.',
    remedy: 'Take a name that "sluice status" shows.',
    retry: 'never',
    exitCode: 2,
  },
  CATALOG_TABLE_BEING_COPIED: {
    when: 'A command names a destination table whose first copy is not loaded yet.',
    remedy: 'Wait until it is loaded. Run: sluice status',
    retry: 'after-remedy',
    exitCode: 1,
  },
  CATALOG_UNKNOWN_TABLE: {
    when: 'A command names a destination table that no pipeline has loaded.',
    remedy: 'Run: sluice status',
    retry: 'after-remedy',
    exitCode: 2,
  },
  QUERY_NOT_READ_ONLY: {
    when: '`query` is given several statements, or one that would write a table, a file or a setting.',
    remedy:
      'Give one statement that only reads, such as SELECT. To have its rows in a file, redirect them: sluice query "SELECT …" --output json > rows.json',
    retry: 'never',
    exitCode: 2,
  },
  VERIFY_FAILED: {
    when: 'The process that runs the gateway could not compare.',
    remedy: 'Read its log.',
    retry: 'backoff',
    exitCode: 1,
  },
  VERIFY_SOURCE_MISSING: {
    when: 'A destination table is compared whose source table is gone.',
    remedy: 'Take the table out of the resource file, or create it again in the source.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  VERIFY_NOT_LOADED: {
    when: 'A destination table is compared before its first load, or before that of the table that has taken the place of its source.',
    remedy: 'Run: sluice run FILE --once',
    retry: 'after-remedy',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
