/** `resources.catalogs` and `resources.schemas`: where tables and volumes lie. */
import { fileURLToPath } from 'node:url'
import type { ConfigMap } from './config-map.ts'
import { foldName, nameProblem } from './names.ts'
import type { StorageRoot } from './resources.ts'
import type { Supported } from './supported.ts'

const laterSchemes = ['s3', 'abfss', 'gs']

export function readCatalogs(section: ConfigMap, supported: Supported): readonly StorageRoot[] {
  return section.maps().flatMap(([key, map]) => {
    map.checkKeys({
      used: ['name', 'storage_root', 'comment'],
      ignored: ['properties', 'owner', 'grants'],
    })
    const catalog = readName(map, 'name', key)
    const folder = readStorageRoot(map, supported)
    if (catalog === undefined || folder === undefined) return []
    return [{ catalog, schema: undefined, folder }]
  })
}

export function readSchemas(section: ConfigMap, supported: Supported): readonly StorageRoot[] {
  return section.maps().flatMap(([key, map]) => {
    map.checkKeys({
      used: ['name', 'catalog_name', 'storage_root', 'comment'],
      ignored: ['properties', 'owner', 'grants'],
    })
    map.require('catalog_name')
    const schema = readName(map, 'name', key)
    const catalog = readName(map, 'catalog_name', undefined)
    const folder = readStorageRoot(map, supported)
    if (catalog === undefined || schema === undefined || folder === undefined) return []
    return [{ catalog, schema, folder }]
  })
}

/** The folded name under `key`, else `fallback`; undefined when missing or reported. */
export function readName(
  map: ConfigMap,
  key: string,
  fallback: string | undefined,
): string | undefined {
  const name = map.has(key) ? map.text(key) : fallback
  if (name === undefined) return undefined
  const problem = nameProblem(name)
  if (problem === undefined) return foldName(name)
  const place = map.placeOfKey(key)
  map.context.error('CONFIG_INVALID_NAME', place, {
    message: `${place.path} ${map.has(key) ? map.shown(key, name) : JSON.stringify(name)} ${problem}`,
  })
  return undefined
}

function readStorageRoot(map: ConfigMap, supported: Supported): string | undefined {
  const root = map.text('storage_root')
  if (root === undefined) return undefined
  const place = map.placeOfKey('storage_root')
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(root)?.[1]?.toLowerCase()
  if (scheme === 'file' && supported.storageSchemes.includes('file')) {
    try {
      return fileURLToPath(root)
    } catch {
      // Falls through: a host in it, or a character that is not allowed.
    }
  } else if (scheme !== undefined && laterSchemes.includes(scheme)) {
    map.context.error('CONFIG_UNSUPPORTED', place, {
      message: `${place.path}: ${scheme}:// is not supported in this version`,
      remedy: 'Use a local folder: file:///absolute/path.',
    })
    return undefined
  }
  map.context.error('CONFIG_INVALID_VALUE', place, {
    message: `${place.path} is ${map.shown('storage_root', root)}, which is not a file URL`,
    remedy: 'Write file:///absolute/path.',
  })
  return undefined
}
