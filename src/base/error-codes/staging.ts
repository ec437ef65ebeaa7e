import type { ErrorDefinition } from '../errors.ts'

export const stagingErrors = {
  STAGING_FENCED: {
    when: 'Another gateway took this staging volume over; this one must not write to it any more.',
    remedy:
      'Run one gateway per staging volume. If the other one was started by mistake, stop it and start this one again.',
    retry: 'never',
    exitCode: 1,
  },
  STAGING_LOG_GAP: {
    when: 'A manifest is missing in the middle of the log of a staging volume, or was removed by something other than the purge.',
    remedy:
      'Restore the missing file of the `_log` folder from a backup; or copy all tables anew, run: sluice refresh --all --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STAGING_MANIFEST_UNREADABLE: {
    when: 'A file of the log of a staging volume is damaged, or was written by a newer version.',
    remedy:
      'Use the version that wrote it, or restore the file from a backup; or copy all tables anew, run: sluice refresh --all --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STAGING_SCHEMA_MISSING: {
    when: 'The log of a staging volume names a table schema whose file is not there.',
    remedy: 'Restore the file from a backup; or run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STAGING_SCHEMA_UNREADABLE: {
    when: 'A schema file of a staging volume is damaged, or was written by a newer version.',
    remedy:
      'Use the version that wrote it, or restore the file from a backup; or run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STAGING_SCHEMA_CONFLICT: {
    when: 'A schema file of a staging volume already holds another schema under the same version.',
    remedy: 'Begin a new schema version, run: sluice refresh TABLE --full',
    retry: 'never',
    exitCode: 1,
  },
  STAGING_FILE_MISSING: {
    when: 'A data file that the log of a staging volume names is not there.',
    remedy: 'Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STAGING_FILE_DAMAGED: {
    when: 'A data file of a staging volume differs in size or checksum from what was staged.',
    remedy: 'Check the disk or object store of the volume. Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STAGING_PUBLISH_UNSETTLED: {
    when: 'A staged commit whose publication had failed turned out to be visible with other content.',
    remedy: 'Start the gateway again; it goes on after the commit that is visible.',
    retry: 'backoff',
    exitCode: 1,
  },
  GATEWAY_TABLE_GONE: {
    when: 'A table that was being copied or followed was dropped at the source, became a partition of another one, or can no longer be seen. Its destination stays as it was. Nothing fails because of it, unless a table object names the table.',
    remedy:
      'To keep the destination as it is, do nothing; to remove it, delete its folder. Take a table object that names the table out of the pipeline. To have the table again, create it or grant access to it.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  GATEWAY_TABLE_NOT_FOUND: {
    when: 'A table that was asked for by name is not in the source, or can not be seen.',
    remedy: 'Correct the name, including upper and lower case, or grant access to the table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  GATEWAY_COLUMN_CLASH: {
    when: 'A source table has a column whose name staged change files use themselves.',
    remedy: 'Rename the column at the source, or take the table out of the pipelines.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  GATEWAY_CHECK_FAILED: {
    when: 'The source does not meet a requirement that has no code of its own.',
    remedy: 'Run `sluice check` and the statements it prints.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  GATEWAY_COPY_OVERTAKEN: {
    when: 'The stream of changes did not pause while the copy of a table was begun.',
    remedy: 'Nothing; the copy is begun again.',
    retry: 'backoff',
    exitCode: 1,
  },
  GATEWAY_STREAM_ENDED: {
    when: 'The source ended its stream of changes without being asked to.',
    remedy: 'Nothing; the stream is begun again at the last staged position.',
    retry: 'backoff',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
