import { expect, test } from 'vitest'
import { supportedNow } from './supported.ts'
import { resolveConnection } from './connection.ts'
import {
  changed,
  env,
  everything,
  onlyProblem,
  parse,
  problems,
  valid,
} from './resource-file.fixture.ts'
import { readResourceFile } from './resource-file.ts'

test('a complete file becomes linked records', () => {
  const result = parse(valid)
  if (result.kind === 'invalid') throw new Error(JSON.stringify(result.problems))
  const { connections, gateways, pipelines } = result.resources
  expect(result.warnings).toEqual([])
  expect(gateways).toMatchObject([
    {
      key: 'shop_gateway',
      connectionName: 'shop',
      staging: { catalog: 'main', schema: 'staging', volume: 'shop' },
      sourceCatalog: 'shop',
    },
  ])
  expect(pipelines).toMatchObject([
    {
      key: 'shop_ingest',
      continuous: false,
      gatewayId: gateways[0]?.id,
      objects: [
        { kind: 'schema', destinationSchema: 'shop', configuration: { scdType: 'SCD_TYPE_1' } },
        {
          kind: 'table',
          sourceTable: 'prices',
          configuration: { scdType: 'SCD_TYPE_2', excludeColumns: ['note'] },
        },
      ],
    },
  ])
  const [connection] = connections
  if (connection === undefined) throw new Error('no connection')
  const address = resolveConnection(connection, env)
  expect(address.options).toEqual({ host: '127.0.0.1', port: '5432', user: 'sluice' })
  expect(address.secrets['password']?.reveal()).toBe('pässword-value')
})

test('the password stays a reference in the record', () => {
  const result = parse(valid)
  if (result.kind === 'invalid') throw new Error('invalid')
  expect(result.resources.connections[0]?.options.password?.reveal()).toBe('${env.SHOP_PASSWORD}')
  expect(JSON.stringify(result)).not.toContain('pässword')
})

test('ids follow from the keys and look like UUIDs', () => {
  const ids = [parse(valid), parse(valid)].map((result) =>
    result.kind === 'valid' ? result.resources.pipelines[0]?.id : undefined,
  )
  expect(ids[0]).toBe(ids[1])
  expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('a gateway reference that is no gateway says which ones there are', () => {
  const reference = '${resources.pipelines.shop_gateway.id}'
  for (const wrong of ['shop_gateway', '${resources.pipelines.shop_ingest.id}', '${foo}']) {
    expect(problems(changed(reference, wrong))).toContain(
      '12 CONFIG_UNKNOWN_REFERENCE resources.pipelines.shop_ingest.ingestion_definition.ingestion_gateway_id',
    )
  }
  const result = parse(changed(reference, '${resources.pipelines.shop_gatewy.id}'))
  const dangling = result.kind === 'invalid' ? result.problems.at(-1) : undefined
  expect(dangling?.remedy).toBe('Did you mean "shop_gateway"?')
})

test('primary_keys is refused by name, with what gives a table another key', () => {
  const { message, remedy } = onlyProblem(
    changed('exclude_columns: [note]', 'primary_keys: [id]'),
    supportedNow,
  )
  expect(message).toContain('table_configuration.primary_keys is not supported in this version')
  expect(remedy).toContain('REPLICA IDENTITY USING INDEX')
})

test.each(['MYSQL', 'SQLSERVER'])('%s is known and not supported', (type) => {
  const { message, remedy } = onlyProblem(
    changed('connection_type: POSTGRESQL', `connection_type: ${type}`),
  )
  expect(message).toContain(`${type} is not supported in this version`)
  expect(remedy).toContain('POSTGRESQL')
})

test('settings that this version does not know how to do are refused by name', () => {
  const result = parse(valid, {
    ...everything,
    scdTypes: ['SCD_TYPE_1'],
    tableSettings: ['scd_type'],
  })
  const codes =
    result.kind === 'invalid' ? result.problems.map(({ code, line }) => `${line} ${code}`) : []
  expect(codes).toEqual(['16 CONFIG_UNSUPPORTED', '16 CONFIG_UNSUPPORTED'])
  expect(problems(changed('exclude_columns: [note]', 'row_filter: x'))).toEqual([
    '16 CONFIG_UNSUPPORTED resources.pipelines.shop_ingest.ingestion_definition.objects[1].table.table_configuration.row_filter',
  ])
})

test('duplicate destinations are found across pipelines, ignoring case', () => {
  const text = `${valid}    other:
      catalog: MAIN
      schema: SHOP_HISTORY
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.shop_gateway.id}
        objects:
          - table: {source_catalog: shop, source_schema: public, source_table: old, destination_table: PRICES}
`
  const { message } = onlyProblem(text)
  expect(message).toBe(
    'destination table main.shop_history.prices is declared twice, first in line 15',
  )
})

test('all errors of a file come at once, in its order', () => {
  const text = `resources:
  connections:
    a: {connection_type: POSTGRES, options: {host: h, user: u}}
    b: {connection_type: POSTGRESQL, options: {hots: h, user: u, port: x}}
  pipelines:
    "bad key": {gateway_definition: {connection_name: c}}
    none: {name: x}
    p: {ingestion_definition: {ingestion_gateway_id: 7, objects: []}}
  jobs: {}
`
  expect(problems(text)).toEqual([
    '3 CONFIG_INVALID_VALUE resources.connections.a.connection_type',
    '4 CONFIG_MISSING_KEY resources.connections.b.options.host',
    '4 CONFIG_UNKNOWN_KEY resources.connections.b.options.hots',
    '4 CONFIG_INVALID_VALUE resources.connections.b.options.port',
    '6 CONFIG_INVALID_NAME resources.pipelines.bad key',
    '6 CONFIG_UNKNOWN_REFERENCE resources.pipelines.bad key',
    '6 CONFIG_MISSING_KEY resources.pipelines.bad key.gateway_definition.gateway_storage_catalog',
    '6 CONFIG_MISSING_KEY resources.pipelines.bad key.gateway_definition.gateway_storage_schema',
    '6 CONFIG_INVALID_NAME resources.pipelines.bad key.gateway_definition.gateway_storage_name',
    '6 CONFIG_UNKNOWN_REFERENCE resources.pipelines.bad key.gateway_definition.connection_name',
    '7 CONFIG_MISSING_KEY resources.pipelines.none',
    '8 CONFIG_UNKNOWN_REFERENCE resources.pipelines.p.ingestion_definition.ingestion_gateway_id',
    '8 CONFIG_INVALID_VALUE resources.pipelines.p.ingestion_definition.objects',
    '9 CONFIG_UNSUPPORTED resources.jobs',
  ])
})

test('no message holds a secret, whatever is wrong with its option', () => {
  const texts = [
    changed('password: "${env.SHOP_PASSWORD}"', 'password: [top-secret]'),
    changed('password: "${env.SHOP_PASSWORD}"', 'password: {x: top-secret}'),
    changed('"${env.SHOP_PASSWORD}"', '"top-secret'),
    changed('"${env.SHOP_PASSWORD}"', '@top-secret'),
    changed('"${env.SHOP_PASSWORD}"', '"top-secret${"'),
    changed('"5432"', '"${env.BAD_PORT}"'),
    changed('port: "5432"', 'sslmode: "${env.BAD_PORT}"'),
  ]
  for (const text of texts) {
    const result = parse(text)
    expect(result.kind).toBe('invalid')
    expect(JSON.stringify(result)).not.toMatch(/top-secret|port-secret/)
  }
})

test('keys other systems need are accepted with a warning', () => {
  const result = parse(changed('continuous: false', 'serverless: true'))
  expect(result.kind === 'valid' ? result.warnings : []).toMatchObject([
    { severity: 'warning', line: 10, path: 'resources.pipelines.shop_ingest.serverless' },
  ])
})

test('anchors, aliases and merge keys are followed', () => {
  const text = changed(
    'gateway_definition: {connection_name: shop, gateway_storage_catalog: main,',
    'gateway_definition: {<<: &s {connection_name: shop}, gateway_storage_catalog: main,',
  )
  expect(problems(text)).toEqual([])
})

test('numbers stay as they are written', () => {
  const result = parse(changed('"${env.SHOP_PASSWORD}"', '0071'))
  expect(
    result.kind === 'valid' ? result.resources.connections[0]?.options.password?.reveal() : '',
  ).toBe('0071')
})

test('a source table whose name cannot be a destination gets a name to use', () => {
  const { remedy } = onlyProblem(changed('source_table: prices', 'source_table: "Order Items"'))
  expect(remedy).toBe('Add "destination_table: order_items".')
})

test('storage roots are local folders', () => {
  const root = (url: string): string => `${valid}  catalogs:\n    main: {storage_root: "${url}"}\n`
  const result = parse(root('file:///srv/lake%20one'))
  expect(result.kind === 'valid' ? result.resources.storageRoots : []).toEqual([
    { catalog: 'main', schema: undefined, folder: '/srv/lake one' },
  ])
  const path = 'resources.catalogs.main.storage_root'
  expect(problems(root('s3://bucket'))).toEqual([`18 CONFIG_UNSUPPORTED ${path}`])
  expect(problems(root('/srv'))).toEqual([`18 CONFIG_INVALID_VALUE ${path}`])
})

test.each([
  ['', '1 CONFIG_WRONG_TYPE '],
  ['[]', '1 CONFIG_WRONG_TYPE '],
  ['a: 1', '1 CONFIG_UNKNOWN_KEY a'],
  ['resources: {a: [', '1 CONFIG_YAML_SYNTAX '],
  ['a: 1\n---\nb: 2', '2 CONFIG_YAML_SYNTAX '],
])('%j is refused', (text, first) => {
  expect(problems(text)[0]).toBe(first)
})

test('a file that is not there is a coded error', async () => {
  await expect(readResourceFile('/no/such/file.yml', {})).rejects.toMatchObject({
    code: 'CONFIG_FILE_NOT_READABLE',
    exitCode: 2,
  })
})
