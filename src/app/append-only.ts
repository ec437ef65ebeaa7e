/** Which tables are wanted for their changes as they come, and for nothing else. Pure. */
import type { PipelineDefinition, PipelineObject } from '../catalog/pipeline-definition.ts'
import type { NamedTable } from '../gateway/select-tables.ts'

/** True when some pipeline wants the table, and all that want it want it append-only. */
export function isAppendOnly(pipelines: readonly PipelineDefinition[], table: NamedTable): boolean {
  const wanted = pipelines.flatMap(({ objects }) => objectsFor(objects, table))
  return wanted.length > 0 && wanted.every((one) => one.configuration.scdType === 'APPEND_ONLY')
}

/** A table object replaces what a schema object would make of the table at the same place. */
function objectsFor(
  objects: readonly PipelineObject[],
  { schema, table }: NamedTable,
): readonly PipelineObject[] {
  const placeOf = (object: PipelineObject): string => {
    const name = object.kind === 'table' ? (object.destinationTable ?? table) : table
    return [object.destinationCatalog, object.destinationSchema, name].join('.').toLowerCase()
  }
  const own = objects.filter((object) => object.sourceSchema === schema)
  const named = own.filter((object) => object.kind === 'table' && object.sourceTable === table)
  const taken = new Set(named.map(placeOf))
  const whole = own.filter((object) => object.kind === 'schema' && !taken.has(placeOf(object)))
  return [...named, ...whole]
}
