/** Where tables go whose names meet at one destination. */
import { describe, expect, test } from 'vitest'
import { formatDestinationName, routeTables, type TableSelection } from './table-selection.ts'

const wholeSchema: TableSelection = {
  sourceSchema: 'public',
  destinationCatalog: 'main',
  destinationSchema: 'shop',
  scdType: 'SCD_TYPE_1',
}
const tables = [
  { tableId: '1', name: { schema: 'public', table: 'Mixed' } },
  { tableId: '2', name: { schema: 'public', table: 'mixed' } },
]

function routed(...selections: TableSelection[]): { places: string[]; refused: string[] } {
  const { routes, refused } = routeTables(tables, selections)
  return {
    places: routes.map((route) => `${route.tableId} ${formatDestinationName(route.destination)}`),
    refused: refused.map(({ route, error }) => `${route.tableId} ${error.code}`),
  }
}

describe('routeTables()', () => {
  test("a table that is gone at the source is in nobody's way, and its name is no matter", () => {
    const [upper, lower] = tables
    const odd = { tableId: '3', name: { schema: 'public', table: 'tab.dot' }, isGone: true }
    if (upper === undefined || lower === undefined) throw new RangeError('two tables')
    const rules = {
      fold: (name: string) => name,
      problem: (name: string) => (name.includes('.') ? 'contains "."' : undefined),
    }
    const found = routeTables([upper, { ...lower, isGone: true }, odd], [wholeSchema], rules)
    expect(found.routes.map(({ tableId }) => tableId)).toEqual(['1'])
    expect(found.refused).toEqual([])
  })

  test('trap: one that is gone and was asked for by name keeps its place', () => {
    const gone = { tableId: '3', name: { schema: 'public', table: 'own' }, isGone: true }
    const own = { ...wholeSchema, sourceTable: 'own', destinationTable: 'mixed' }
    const [, lower] = tables
    if (lower === undefined) throw new RangeError('two tables')
    const { routes, refused } = routeTables([lower, gone], [wholeSchema, own])
    expect(routes.map(({ tableId }) => tableId)).toEqual(['3'])
    expect(refused.map(({ route }) => route.tableId).toSorted()).toEqual(['2', '3'])
  })

  test('refuses tables of a schema whose names are equal ignoring case', () => {
    expect(routed(wholeSchema)).toEqual({
      places: [],
      refused: ['1 PIPELINE_NAME_COLLISION', '2 PIPELINE_NAME_COLLISION'],
    })
  })

  test('lets the one with a destination of its own make room for the other', () => {
    const own = { ...wholeSchema, sourceTable: 'Mixed', destinationTable: 'mixed_2' }
    expect(routed(wholeSchema, own)).toEqual({
      places: ['1 main.shop.mixed_2', '2 main.shop.mixed'],
      refused: [],
    })
  })

  test('loads a table twice where nothing meets', () => {
    const [only] = tables
    const own = { ...wholeSchema, sourceTable: 'Mixed', destinationTable: 'again' }
    const { routes, refused } = routeTables(only === undefined ? [] : [only], [wholeSchema, own])
    expect(routes.map(({ destination }) => destination.table)).toEqual(['Mixed', 'again'])
    expect(refused).toEqual([])
  })
})

test('trap: a table called like the place of held back rows of another is refused, alone', () => {
  const named = ['orders', 'Orders__Quarantine', 'other__quarantine'].map((table, n) => ({
    tableId: `${n}`,
    name: { schema: 'public', table },
  }))
  const rules = { fold: (name: string) => name, problem: () => undefined }
  const beside = (name: string): string => `${name}__quarantine`
  const { routes, refused } = routeTables(named, [wholeSchema], { ...rules, beside })
  expect(routes.map(({ tableId }) => tableId)).toEqual(['0', '2'])
  expect(refused.map(({ route, error }) => [route.tableId, error.code])).toEqual([
    ['1', 'PIPELINE_NAME_COLLISION'],
  ])
  const own = { ...wholeSchema, sourceTable: 'Orders__Quarantine', destinationTable: 'mended' }
  const mended = routeTables(named, [wholeSchema, own], { ...rules, beside })
  expect(mended.refused).toEqual([])
  expect(mended.routes.map(({ destination }) => destination.table)).toEqual([
    'orders',
    'mended',
    'other__quarantine',
  ])
  // Nothing is held back: nothing meets.
  expect(routeTables(named, [wholeSchema], rules).refused).toEqual([])
})
