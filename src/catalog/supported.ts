/** What of the resource file this version does; the rest is refused by name, never ignored in silence. */
import type { ScdType } from './pipeline-definition.ts'

export interface Supported {
  readonly scdTypes: readonly ScdType[]
  /** Keys of `table_configuration`. */
  readonly tableSettings: readonly string[]
  /** URL schemes of `storage_root`. */
  readonly storageSchemes: readonly string[]
}

export const supportedNow: Supported = {
  scdTypes: ['SCD_TYPE_1', 'SCD_TYPE_2', 'APPEND_ONLY'],
  tableSettings: ['scd_type', 'include_columns', 'exclude_columns'],
  storageSchemes: ['file'],
}

/** All settings that are parsed once they are supported. */
export const parsedTableSettings = [
  'scd_type',
  'include_columns',
  'exclude_columns',
  'primary_keys',
] as const

/** Settings of `table_configuration` that exist elsewhere and not here yet. */
export const laterTableSettings = [
  'sequence_by',
  'row_filter',
  'auto_full_refresh_policy',
  'clustering_columns',
  'enable_auto_clustering',
  'table_properties',
  'source_metadata_column',
  'query_based_connector_config',
] as const
