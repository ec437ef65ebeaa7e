/** An ingestion pipeline, as deployed. */
import type { SettingTexts } from './pipeline-settings.ts'

export type ScdType = 'SCD_TYPE_1' | 'SCD_TYPE_2' | 'APPEND_ONLY'

export const scdTypes: readonly ScdType[] = ['SCD_TYPE_1', 'SCD_TYPE_2', 'APPEND_ONLY']

/** Settings of one table after table, schema object and pipeline were laid over one another. */
export interface TableConfiguration {
  /** Default SCD_TYPE_1. */
  readonly scdType: ScdType
  /** Only these source columns; not together with `excludeColumns`. */
  readonly includeColumns?: readonly string[]
  readonly excludeColumns?: readonly string[]
  /** Used as the key in place of the source's own. */
  readonly primaryKeys?: readonly string[]
}

/** All tables of a source schema, also those that come later. */
export interface SchemaObject {
  readonly kind: 'schema'
  readonly sourceCatalog: string | undefined
  readonly sourceSchema: string
  readonly destinationCatalog: string
  readonly destinationSchema: string
  readonly configuration: TableConfiguration
}

/** One table. Wins over a schema object that would write the same destination table from it. */
export interface TableObject {
  readonly kind: 'table'
  readonly sourceCatalog: string | undefined
  readonly sourceSchema: string
  readonly sourceTable: string
  readonly destinationCatalog: string
  readonly destinationSchema: string
  /** undefined: the source table's name. */
  readonly destinationTable: string | undefined
  readonly configuration: TableConfiguration
}

export type PipelineObject = SchemaObject | TableObject

export interface PipelineDefinition {
  /** Stable for the life of the pipeline; part of the `txn` application id in its Delta tables. */
  readonly id: string
  /** Key under `resources.pipelines`. */
  readonly key: string
  readonly name: string
  readonly continuous: boolean
  /** Id of the gateway whose staging it reads; cannot change. */
  readonly gatewayId: string
  readonly objects: readonly PipelineObject[]
  /** Absent in definitions stored by earlier versions. */
  readonly settings?: SettingTexts
}
