/**
 * `source_configurations` of an ingestion pipeline: a replication slot and a publication that a
 * person names, and may have made, for the gateway that the pipeline reads from.
 */
import type { ConfigMap } from './config-map.ts'
import type { Place } from './config-problem.ts'

export interface SourceNames {
  readonly slot: string
  readonly publication: string
}

export interface SourceNamesDraft extends SourceNames {
  readonly sourceCatalog: string | undefined
  readonly place: Place
}

const slotName = /^[a-z0-9_]{1,63}$/

export function readSourceNames(definition: ConfigMap): readonly SourceNamesDraft[] {
  return (definition.list('source_configurations') ?? []).flatMap((item) => {
    item.checkKeys({ used: ['catalog'] })
    const catalog = item.map('catalog')
    catalog?.checkKeys({ used: ['source_catalog', 'postgres'] })
    const postgres = catalog?.map('postgres')
    postgres?.checkKeys({ used: ['slot_config'] })
    const config = postgres?.map('slot_config')
    config?.checkKeys({ used: ['slot_name', 'publication_name'] })
    if (catalog === undefined || config === undefined) return []
    config.require('slot_name')
    config.require('publication_name')
    const slot = config.text('slot_name')
    const publication = config.text('publication_name')
    if (slot === undefined || publication === undefined) return []
    if (!slotName.test(slot)) {
      config.context.error('CONFIG_INVALID_NAME', config.placeOfKey('slot_name'), {
        message: `${JSON.stringify(slot)} cannot name a replication slot`,
        remedy: 'Use at most 63 lower-case letters, digits and underscores.',
      })
    }
    if (Buffer.byteLength(publication) > 55) {
      config.context.error('CONFIG_INVALID_NAME', config.placeOfKey('publication_name'), {
        message: `${JSON.stringify(publication)} is too long for a publication`,
        remedy: 'Use at most 55 bytes.',
      })
    }
    return [{ slot, publication, sourceCatalog: catalog.text('source_catalog'), place: item.place }]
  })
}

/** The names for one gateway, which all its pipelines must give alike; undefined: none gives any. */
export function linkSourceNames(
  pipelines: readonly { readonly sourceNames: readonly SourceNamesDraft[] }[],
  gateway: { readonly key: string; readonly sourceCatalog: string | undefined },
  report: (place: Place, problem: { message: string; remedy: string }) => void,
): SourceNames | undefined {
  let found: SourceNames | undefined
  for (const { slot, publication, sourceCatalog, place } of pipelines.flatMap(
    ({ sourceNames }) => sourceNames,
  )) {
    if (sourceCatalog !== undefined && sourceCatalog !== gateway.sourceCatalog) {
      report(place, {
        message: `${place.path} is for the database "${sourceCatalog}", which gateway ${gateway.key} does not read`,
        remedy: 'Remove it, or correct source_catalog.',
      })
    } else if (found !== undefined && (found.slot !== slot || found.publication !== publication)) {
      report(place, {
        message: `${place.path} names another slot or publication for gateway ${gateway.key} than before`,
        remedy: 'A gateway reads one slot: give the same names everywhere.',
      })
    } else found = { slot, publication }
  }
  return found
}
