/** A destination table as the catalog remembers it between runs. */
import type { TableName } from './names.ts'
import type { ScdType } from './pipeline-definition.ts'

export interface DestinationRecord {
  readonly name: TableName
  readonly pipelineId: string
  /** Of the source; stable over renames. */
  readonly tableId: string
  /** `schema.table` in the source, with the database before it where there is one. */
  readonly source: string
  readonly scdType: ScdType
  /** Absolute path of the Delta table. */
  readonly location: string
}
