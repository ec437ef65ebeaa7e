import { expect, test } from 'vitest'
import { createFolders } from './folders.ts'
import type { PipelineDefinition, PipelineObject } from './pipeline-definition.ts'
import { planDestinations, sourceSchemas } from './plan-destinations.ts'
import { formatTableName } from './names.ts'

const scd1 = { scdType: 'SCD_TYPE_1' } as const
const to = { destinationCatalog: 'main', destinationSchema: 'shop', configuration: scd1 }
const everyTable = { kind: 'schema', sourceCatalog: 'db', sourceSchema: 'public', ...to } as const

function pipeline(...objects: PipelineObject[]): PipelineDefinition {
  return { id: 'p', key: 'p', name: 'p', continuous: false, gatewayId: 'g', objects }
}

function source(schema: string, table: string): { name: { schema: string; table: string } } {
  return { name: { catalog: 'db', schema, table } as { schema: string; table: string } }
}

function names(plan: ReturnType<typeof planDestinations>): string[] {
  return plan.destinations.map(({ destination }) => formatTableName(destination))
}

test('a schema object takes every table of its schema', () => {
  const tables = [source('public', 'orders'), source('public', 'Items'), source('other', 'x')]
  const plan = planDestinations(pipeline(everyTable), tables)
  expect(names(plan)).toEqual(['main.shop.items', 'main.shop.orders'])
  expect(plan.problems).toEqual([])
  expect(sourceSchemas([pipeline(everyTable, everyTable)])).toEqual(['public'])
})

test('a table object wins over a schema object for the same destination', () => {
  const object: PipelineObject = {
    ...everyTable,
    kind: 'table',
    sourceTable: 'orders',
    destinationTable: undefined,
    configuration: { scdType: 'SCD_TYPE_2' },
  }
  const plan = planDestinations(pipeline(everyTable, object), [source('public', 'orders')])
  expect(plan.destinations.map(({ configuration }) => configuration.scdType)).toEqual([
    'SCD_TYPE_2',
  ])
})

test('a renamed table is loaded in both places', () => {
  const object: PipelineObject = {
    ...everyTable,
    kind: 'table',
    sourceTable: 'orders',
    destinationTable: 'old_orders',
  }
  const plan = planDestinations(pipeline(everyTable, object), [source('public', 'orders')])
  expect(names(plan)).toEqual(['main.shop.old_orders', 'main.shop.orders'])
})

test('tables that differ in case only, bad names and missing tables are left out by name', () => {
  const missing: PipelineObject = {
    ...everyTable,
    kind: 'table',
    sourceTable: 'ordres',
    destinationTable: undefined,
  }
  const tables = [source('public', 'orders'), source('public', 'ORDERS'), source('public', 'a b')]
  const plan = planDestinations(pipeline(everyTable, missing), tables)
  expect(names(plan)).toEqual(['main.shop.orders'])
  expect(plan.problems.map(({ code }) => code)).toEqual([
    'CONFIG_TABLE_NOT_FOUND',
    'CONFIG_DUPLICATE_DESTINATION',
    'CONFIG_INVALID_NAME',
  ])
  expect(plan.problems[0]?.remedy).toBe('Did you mean "orders"?')
})

test('folders follow the names, unless a schema or catalog says otherwise', () => {
  const roots = [
    { catalog: 'main', schema: undefined, folder: '/a' },
    { catalog: 'main', schema: 'shop', folder: '/b' },
  ]
  const plain = createFolders('/data', [])
  expect(plain.table({ catalog: 'main', schema: 'shop', table: 't' })).toBe(
    '/data/lake/main/shop/t',
  )
  expect(plain.volume({ catalog: 'main', schema: 's', volume: 'v' })).toBe('/data/volumes/main/s/v')
  const rooted = createFolders('/data', roots)
  expect(rooted.table({ catalog: 'main', schema: 'shop', table: 't' })).toBe('/b/lake/t')
  expect(rooted.table({ catalog: 'main', schema: 'x', table: 't' })).toBe('/a/lake/x/t')
})
