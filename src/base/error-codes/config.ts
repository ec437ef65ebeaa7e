import type { ErrorDefinition } from '../errors.ts'

export const configErrors = {
  CONFIG_FILE_NOT_READABLE: {
    when: 'The resource file does not exist or cannot be read.',
    remedy: 'Give the path of a readable YAML file.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_YAML_SYNTAX: {
    when: 'The resource file is not well-formed YAML.',
    remedy: 'Correct the YAML at the line given.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_UNKNOWN_KEY: {
    when: 'A key of the resource file is not one that exists there.',
    remedy: 'Remove the key or use one of the keys listed in docs/configuration.md.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_MISSING_KEY: {
    when: 'A key that is required is not there.',
    remedy: 'Add the key.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_WRONG_TYPE: {
    when: 'A value of the resource file has another type than the key asks for.',
    remedy: 'Give a value of the type the message names.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_INVALID_VALUE: {
    when: 'A value of the resource file is of the right type but not allowed.',
    remedy: 'Give one of the allowed values the message names.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_INVALID_NAME: {
    when: 'A catalog, schema, volume, table or resource name has a form that is not allowed.',
    remedy: 'Use letters, digits, _ and -; without dots, blanks, slashes or control characters.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_ENV_UNSET: {
    when: 'The resource file refers to an environment variable that is not set.',
    remedy: 'Set the variable in the environment of the command and run it again.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_UNKNOWN_REFERENCE: {
    when: 'A reference points to a connection, a gateway or a variable that does not exist.',
    remedy: 'Declare the resource in the same file or correct the reference.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_DUPLICATE_DESTINATION: {
    when: 'Two objects would write the same destination table; upper and lower case are not told apart.',
    remedy: 'Give one of them another destination_schema or destination_table.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_DUPLICATE_RESOURCE: {
    when: 'Two gateways share a staging volume, or two resources share a name that must be unique.',
    remedy: 'Give one of them another name.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_SOURCE_CATALOG_MIXED: {
    when: 'Objects that share one PostgreSQL gateway name different databases as source_catalog.',
    remedy: 'Give each database a gateway of its own: a replication slot reads one database.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_UNSUPPORTED: {
    when: 'The resource file asks for something this version does not do.',
    remedy: 'Remove it from the resource file.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_IMMUTABLE_FIELD: {
    when: 'A deployed gateway or pipeline would change in a field that cannot change.',
    remedy: 'Give the resource another key in the file: that makes a new one beside the old.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_TABLE_NOT_FOUND: {
    when: 'A table named in the resource file or on the command line does not exist.',
    remedy: 'Correct the name; `sluice status` lists the tables there are.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_INVALID: {
    when: 'The resource file has errors; each is listed with its line.',
    remedy: 'Correct the lines listed and run the command again.',
    retry: 'never',
    exitCode: 2,
  },
  CONFIG_USAGE: {
    when: 'A command was called with arguments it does not understand.',
    remedy: 'Run `sluice help` to see the commands and their options.',
    retry: 'never',
    exitCode: 2,
  },
  QUICKSTART_FOLDER_IN_USE: {
    when: 'The folder the quick start wants to begin anew in was not made by a quick start.',
    remedy: 'Give another data folder with --data.',
    retry: 'never',
    exitCode: 2,
  },
  QUICKSTART_FAILED: {
    when: 'A part of the quick start did not do its work; the message names it.',
    remedy: 'Run it again with --log-level debug and report the output as a defect.',
    retry: 'never',
    exitCode: 1,
  },
  CATALOG_NOT_FOUND: {
    when: 'The data folder holds no catalog: nothing was ever run there.',
    remedy: 'Give the folder with --data, or start with `sluice run FILE`.',
    retry: 'never',
    exitCode: 2,
  },
  CATALOG_DAMAGED: {
    when: 'The catalog file cannot be read as what it should be.',
    remedy:
      'Move sluice.db* of the data folder away and run the resource file again: tables and staging carry their own state.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  CATALOG_TOO_NEW: {
    when: 'The catalog was written by a newer version of the program.',
    remedy: 'Use the newer version, or another data folder.',
    retry: 'after-remedy',
    exitCode: 2,
  },
  CATALOG_BUSY: {
    when: 'Another process has held the catalog locked for too long.',
    remedy: 'Wait for the other process or stop it, then run the command again.',
    retry: 'backoff',
    exitCode: 1,
  },
  CATALOG_UNUSABLE: {
    when: 'The catalog file cannot be opened, read or written, for a reason the operating system gives.',
    remedy: 'See that the data folder is writable and its disk has room.',
    retry: 'backoff',
    exitCode: 1,
  },
  CATALOG_SECRET_UNREADABLE: {
    when: 'A sealed secret cannot be opened: the key file is missing, foreign or the bytes were altered.',
    remedy:
      'Restore sluice.key of the data folder, or run the resource file again to seal it anew.',
    retry: 'after-remedy',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
