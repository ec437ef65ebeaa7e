/** An ingestion gateway, as deployed. */
import type { VolumeName } from './names.ts'
import type { SourceNames } from './resource-source-names.ts'
import type { SettingTexts } from './pipeline-settings.ts'

export interface GatewayDefinition {
  /** Stable for the life of the gateway. */
  readonly id: string
  /** Key under `resources.pipelines`. */
  readonly key: string
  /** For people; the key when the file gives none. */
  readonly name: string
  /** Cannot change. */
  readonly connectionName: string
  /** Where it stages; cannot change. */
  readonly staging: VolumeName
  /** The database it reads; undefined for sources without databases. Cannot change. */
  readonly sourceCatalog: string | undefined
  /** Slot and publication that a person named; cannot change. Absent: the gateway names its own. */
  readonly sourceNames?: SourceNames
  /** Absent in definitions stored by earlier versions. */
  readonly settings?: SettingTexts
}
