/** The `configuration` map of a gateway or pipeline: our own settings checked, others ignored. */
import type { ConfigMap } from './config-map.ts'
import { nearest } from './nearest.ts'
import { pipelineSettings, type PipelineSetting, type SettingTexts } from './pipeline-settings.ts'

const prefix = 'sluice.'
const declared: readonly PipelineSetting<unknown>[] = Object.values(pipelineSettings)

/** Texts that parse; everything else is reported. */
export function readSettings(
  pipeline: ConfigMap,
  on: PipelineSetting<unknown>['on'],
): SettingTexts {
  const map = pipeline.map('configuration')
  const texts: Record<string, string> = {}
  for (const { key } of map?.entries ?? []) {
    if (map === undefined) break
    if (!key.startsWith(prefix)) {
      map.context.warning('CONFIG_UNSUPPORTED', map.placeOfKey(key), {
        message: `${map.pathOf(key)} has no effect here`,
      })
      continue
    }
    const setting = declared.find((one) => one.key === key && one.on === on)
    if (setting === undefined) reportUnknown(map, key, on)
    else readOne(map, setting, texts)
  }
  return texts
}

function readOne(
  map: ConfigMap,
  { key, kind, initial }: PipelineSetting<unknown>,
  texts: Record<string, string>,
): void {
  // `true` and `5` are written without quotes by anyone who does not know better.
  const text = map.flatText(key)
  if (text === undefined) return
  if (kind.parse(text) !== undefined) {
    texts[key] = text
    return
  }
  map.context.error('CONFIG_INVALID_VALUE', map.placeOfKey(key), {
    message: `${map.pathOf(key)} is ${map.shown(key, text)}, which is not ${kind.wanted}`,
    remedy: `Without the key it is ${initial}.`,
  })
}

function reportUnknown(map: ConfigMap, key: string, on: PipelineSetting<unknown>['on']): void {
  const other = declared.find((one) => one.key === key)
  const known = declared.filter((one) => one.on === on).map((one) => one.key)
  const guess = nearest(
    key.slice(prefix.length),
    known.map((one) => one.slice(prefix.length)),
  )
  map.context.error('CONFIG_UNKNOWN_KEY', map.placeOfKey(key), {
    message: `unknown key "${key}" in ${map.place.path}`,
    remedy:
      other !== undefined
        ? `It belongs to ${other.on === 'gateway' ? 'the gateway' : 'an ingestion pipeline'}: move it there.`
        : guess === undefined
          ? `Known keys here: ${known.join(', ') || 'none'}.`
          : `Did you mean "${prefix}${guess}"?`,
  })
}
