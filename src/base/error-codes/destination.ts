import type { ErrorDefinition } from '../errors.ts'

export const destinationErrors = {
  DESTINATION_FOREIGN_TABLE: {
    when: 'The folder of a destination table already holds a Delta table that Sluice did not make. It is left untouched.',
    remedy: 'Choose another destination_table or destination_schema, or move the other table away.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_TABLE_TAKEN: {
    when: 'The destination table belongs to another pipeline. It is left untouched.',
    remedy:
      'Choose another destination_table or destination_schema for one of the two pipelines, or remove the one that is not to have it: sluice remove PIPELINE --yes',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_CHANGED_BY_OTHERS: {
    when: 'Somebody else changed the protocol, the schema or the properties of a destination table.',
    remedy:
      'Undo the change (RESTORE TABLE … TO VERSION AS OF …), or run a full refresh of the table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_CONTENDED: {
    when: 'Other writers won the commit of a destination table many times in a row.',
    remedy: 'Stop the other writers of the table, or wait: the work is tried again by itself.',
    retry: 'backoff',
    exitCode: 1,
  },
  DESTINATION_FILE_UNREACHABLE: {
    when: 'A data file of a destination table lies where the embedded engine can not read it.',
    remedy: 'Keep the lake on a local disk, or run a full refresh of the table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_FILE_DAMAGED: {
    when: 'A data file of a destination table is not there, or its bytes are not those that were written. The table stops; other tables go on, and nothing staged is lost.',
    remedy: 'Check the disk of the lake. Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_VALUE_UNFIT: {
    when: 'A value to be applied is none that its column in the destination can hold, such as an infinite date, and the pipeline does not say what to do with such values. The table stops before it; other tables go on, and nothing staged is lost.',
    remedy: [
      'Set sluice.unfitValues in the configuration of the pipeline; it holds for all its tables, and this one goes on from here. One of:',
      'null: such a value becomes NULL.',
      'clamp: such a value becomes the nearest one that its type holds; NaN becomes NULL.',
      'string: in all tables of the pipeline every column of the kinds concerned (date, timestamp, numeric(p,s), array) becomes text, and tables that have one are loaded again.',
      'quarantine: the row goes to <table>__quarantine and is missing in the table until it fits.',
      'Or correct the rows in the source and run: sluice refresh TABLE --full',
    ].join('\n'),
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_KEY_UNFIT: {
    when: 'A key column has a value that its type in the destination can not hold. With sluice.unfitValues null or clamp rows of different keys would be taken for one; the table stops before it.',
    remedy:
      'Set sluice.unfitValues in the configuration of the pipeline, for all its tables, to quarantine, or to string: every column of the kinds concerned (date, timestamp, numeric(p,s), array), the key too, is then text, and tables that have one are loaded again.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_CELL_UNKNOWN: {
    when: 'A change keeps cells of a row that is neither staged nor in the destination table.',
    remedy: 'Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  DESTINATION_COLUMN_UNKNOWN: {
    when: 'include_columns or exclude_columns name a column the source table does not have, or exclude a key column.',
    remedy: 'Correct the column list in the resource file.',
    retry: 'after-remedy',
    exitCode: 2,
  },
  DESTINATION_COLUMN_CLASH: {
    when: 'A source column has a name that the destination needs for itself: __START_AT and __END_AT for SCD_TYPE_2; __CHANGE_TYPE, __COMMIT_AT, __SEQUENCE and __ORDINAL for APPEND_ONLY.',
    remedy: 'Rename the column, or list it under exclude_columns.',
    retry: 'after-remedy',
    exitCode: 2,
  },
  DESTINATION_ROW_MISSING: {
    when: 'A delete of a table without a key names a row that the destination does not hold. Nothing of the update is applied.',
    remedy: 'Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  PIPELINE_SCD_UNSUPPORTED: {
    when: 'The scd_type that was asked for needs more than the source table tells about its rows: SCD_TYPE_2 needs a key, SCD_TYPE_1 needs updates and deletes.',
    remedy: 'Give the table a primary key, or use scd_type: APPEND_ONLY.',
    retry: 'after-remedy',
    exitCode: 2,
  },
  PIPELINE_NAME_COLLISION: {
    when: 'Two source tables of a pipeline would become the same destination table.',
    remedy: 'Give one of them a destination_table of its own.',
    retry: 'never',
    exitCode: 2,
  },
  PIPELINE_STAGING_PURGED: {
    when: 'Staged data that a destination table still needed was purged by the retention.',
    remedy: 'Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  PIPELINE_STAGING_REPLACED: {
    when: 'The staging volume, or the end of its log, is not the one the destination table was filled from.',
    remedy:
      'Restore the volume; or stop the process that runs the gateway and copy all tables anew, run: sluice refresh --all --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  PIPELINE_STAGING_INCONSISTENT: {
    when: 'Staged entries of a table contradict each other.',
    remedy: 'Run: sluice refresh TABLE --full',
    retry: 'after-remedy',
    exitCode: 1,
  },
  PIPELINE_DESTINATION_LEFT: {
    when: 'A destination to which no object of its pipeline leads any more: its table was renamed at the source, or the file was changed. It stays as it was, and nothing fails because of it.',
    remedy:
      'To keep it as it is, do nothing; to remove it, delete its folder. To have it kept up to date again, let a table object lead to it (destination_table).',
    retry: 'after-remedy',
    exitCode: 1,
  },
  PIPELINE_TABLE_GAP: {
    when: 'The gateway could not follow a table exactly; a new copy of it is not finished yet.',
    remedy:
      'Wait for the gateway to copy the table anew. A table that is gone, or that the source must mend first, waits for that: the reason is in the message.',
    retry: 'backoff',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
