/** A resource file for tests, and the problems of changed ones. */
import { expect } from 'vitest'
import { parseResourceFile, type ResourceFileResult } from './resource-file.ts'
import type { Supported } from './supported.ts'

export const everything: Supported = {
  scdTypes: ['SCD_TYPE_1', 'SCD_TYPE_2', 'APPEND_ONLY'],
  tableSettings: ['scd_type', 'include_columns', 'exclude_columns', 'primary_keys'],
  storageSchemes: ['file'],
}

export const env = { SHOP_PASSWORD: 'pässword-value', EMPTY: '', BAD_PORT: 'port-secret' }

export function parse(text: string, supported: Supported = everything): ResourceFileResult {
  return parseResourceFile(text, { file: 'shop.yml', env, supported })
}

/** `line code path` of every problem, then message and remedy for a closer look. */
export function problems(text: string, supported?: Supported): string[] {
  const result = parse(text, supported)
  const list = result.kind === 'valid' ? result.warnings : result.problems
  return list.map(({ line, code, path }) => `${line} ${code} ${path}`)
}

export function onlyProblem(
  text: string,
  supported?: Supported,
): { message: string; remedy: string } {
  const result = parse(text, supported)
  const list = result.kind === 'valid' ? result.warnings : result.problems
  expect(list.map(({ code, line }) => `${line} ${code}`)).toHaveLength(1)
  return list[0] ?? { message: '', remedy: '' }
}

export const valid = `resources:
  connections:
    shop:
      connection_type: POSTGRESQL
      options: {host: 127.0.0.1, port: "5432", user: sluice, password: "\${env.SHOP_PASSWORD}"}
  pipelines:
    shop_gateway:
      gateway_definition: {connection_name: shop, gateway_storage_catalog: main, gateway_storage_schema: staging, gateway_storage_name: shop}
    shop_ingest:
      continuous: false
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.shop_gateway.id}
        objects:
          - schema: {source_catalog: shop, source_schema: public, destination_catalog: main, destination_schema: Shop}
          - table: {source_catalog: shop, source_schema: public, source_table: prices, destination_catalog: main, destination_schema: shop_history,
                    table_configuration: {scd_type: SCD_TYPE_2, exclude_columns: [note]}}
`

/** The valid file with `from` replaced; the text must be there. */
export function changed(from: string, to: string): string {
  expect(valid).toContain(from)
  return valid.replace(from, () => to)
}
