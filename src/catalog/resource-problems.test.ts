import { expect, test } from 'vitest'
import { changed, parse, problems } from './resource-file.fixture.ts'

test.each<[string, string, string, string, string]>([
  [
    'unknown key',
    'user: sluice',
    'user: sluice, pasword: x',
    '5 CONFIG_UNKNOWN_KEY resources.connections.shop.options.pasword',
    'Did you mean "password"?',
  ],
  [
    'unknown section',
    '  pipelines:',
    '  pipelnes:',
    '6 CONFIG_UNKNOWN_KEY resources.pipelnes',
    'Did you mean "pipelines"?',
  ],
  [
    'wrong type',
    'continuous: false',
    'continuous: "no"',
    '10 CONFIG_WRONG_TYPE resources.pipelines.shop_ingest.continuous',
    '',
  ],
  [
    'map for text',
    'connection_name: shop',
    'connection_name: {a: b}',
    '8 CONFIG_WRONG_TYPE resources.pipelines.shop_gateway.gateway_definition.connection_name',
    '',
  ],
  [
    'text for map',
    '        objects:\n',
    '        table_configuration: yes\n        objects:\n',
    '13 CONFIG_WRONG_TYPE resources.pipelines.shop_ingest.ingestion_definition.table_configuration',
    '',
  ],
  [
    'missing key',
    'gateway_storage_catalog: main, ',
    '',
    '8 CONFIG_MISSING_KEY resources.pipelines.shop_gateway.gateway_definition.gateway_storage_catalog',
    'Add "gateway_storage_catalog: ..."',
  ],
  [
    'missing host',
    'host: 127.0.0.1, ',
    '',
    '5 CONFIG_MISSING_KEY resources.connections.shop.options.host',
    'Add "host',
  ],
  [
    'password in the host',
    'host: 127.0.0.1',
    'host: "postgres://sluice:hunter2@db"',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.host',
    'Give the name of the server alone',
  ],
  [
    'password in the user',
    'user: sluice',
    'user: "sluice:hunter2"',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.user',
    'Give the name of the role alone',
  ],
  [
    'unset variable',
    'env.SHOP_PASSWORD',
    'env.NO_SUCH',
    '5 CONFIG_ENV_UNSET resources.connections.shop.options.password',
    'export NO_SUCH=...',
  ],
  [
    'unknown reference',
    'env.SHOP_PASSWORD',
    'var.password',
    '5 CONFIG_UNKNOWN_REFERENCE resources.connections.shop.options.password',
    '${env.NAME}',
  ],
  [
    'unclosed reference',
    '${env.SHOP_PASSWORD}',
    '${env.SHOP_PASSWORD',
    '5 CONFIG_UNKNOWN_REFERENCE resources.connections.shop.options.password',
    '${env.NAME}',
  ],
  [
    'dangling connection',
    'connection_name: shop,',
    'connection_name: shpo,',
    '8 CONFIG_UNKNOWN_REFERENCE resources.pipelines.shop_gateway.gateway_definition.connection_name',
    'Did you mean "shop"?',
  ],
  [
    'port out of range',
    '"5432"',
    '65536',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.port',
    '',
  ],
  [
    'unknown sslmode',
    'port: "5432"',
    'sslmode: verify_full',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.sslmode',
    'Did you mean "verify-full"?',
  ],
  [
    'scd type',
    'SCD_TYPE_2',
    'SCD2',
    '16 CONFIG_INVALID_VALUE resources.pipelines.shop_ingest.ingestion_definition.objects[1].table.table_configuration.scd_type',
    '',
  ],
  [
    'name',
    'destination_schema: Shop',
    'destination_schema: "a.b"',
    '14 CONFIG_INVALID_NAME resources.pipelines.shop_ingest.ingestion_definition.objects[0].schema.destination_schema',
    '',
  ],
  [
    'mixed databases',
    'source_catalog: shop, source_schema: public, source_table',
    'source_catalog: other, source_schema: public, source_table',
    '15 CONFIG_SOURCE_CATALOG_MIXED resources.pipelines.shop_ingest.ingestion_definition.objects[1].table.source_catalog',
    '',
  ],
  [
    'no database',
    '{source_catalog: shop, source_schema: public, destination',
    '{source_schema: public, destination',
    '14 CONFIG_MISSING_KEY resources.pipelines.shop_ingest.ingestion_definition.objects[0].schema.source_catalog',
    'source_catalog: DATABASE',
  ],
  [
    'two passwords',
    'user: sluice,',
    'user: sluice, password_file: /run/secrets/p,',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.password_file',
    'Remove one of the two',
  ],
  [
    'a misspelt option',
    'user: sluice,',
    'user: sluice, target_session_atrs: primary,',
    '5 CONFIG_UNKNOWN_KEY resources.connections.shop.options.target_session_atrs',
    'target_session_attrs',
  ],
  [
    'a value that an option cannot have',
    'user: sluice,',
    'user: sluice, channel_binding: requires,',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.channel_binding',
    'Did you mean "require"?',
  ],
  [
    'a list of ports with a wrong one',
    'port: "5432"',
    'port: "5432,x"',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.port',
    'one for each',
  ],
  [
    'empty host',
    'host: 127.0.0.1',
    'host: "${env.EMPTY}"',
    '5 CONFIG_INVALID_VALUE resources.connections.shop.options.host',
    '',
  ],
  [
    'null',
    'continuous: false',
    'continuous:',
    '10 CONFIG_WRONG_TYPE resources.pipelines.shop_ingest.continuous',
    '',
  ],
  [
    'include and exclude',
    'exclude_columns: [note]',
    'exclude_columns: [note], include_columns: [a]',
    '16 CONFIG_INVALID_VALUE resources.pipelines.shop_ingest.ingestion_definition.objects[1].table.table_configuration.exclude_columns',
    '',
  ],
  [
    'column twice',
    '[note]',
    '[note, note]',
    '16 CONFIG_INVALID_VALUE resources.pipelines.shop_ingest.ingestion_definition.objects[1].table.table_configuration.exclude_columns[1]',
    '',
  ],
  [
    'repeated key',
    'continuous: false',
    'continuous: false\n      continuous: true',
    '11 CONFIG_YAML_SYNTAX ',
    '',
  ],
])('%s: one problem with line, code, key and hint', (_, from, to, expected, remedy) => {
  const text = changed(from, to)
  const { remedy: actual } = onlyProblemBesides(text, expected)
  expect(actual).toContain(remedy)
})

/** The first problem, which must be `expected`; what follows from it may follow. */
function onlyProblemBesides(text: string, expected: string): { remedy: string } {
  expect(problems(text)[0]).toBe(expected)
  const result = parse(text)
  return (result.kind === 'invalid' ? result.problems[0] : undefined) ?? { remedy: '' }
}
