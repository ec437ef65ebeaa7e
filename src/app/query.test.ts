import { expect, test } from 'vitest'
import { SluiceError } from '../base/errors.ts'
import { openEngine } from '../engine/duckdb.ts'
import type { Context } from './context.ts'
import { ofStatement, prepareQuery, runQuery } from './query.ts'

const orders = { catalog: 'main', schema: 'shop', table: 'orders' }
const items = { catalog: 'other', schema: 'Shop', table: 'Order Items' }
const known = [orders, items]

test('prepareQuery() finds tables by one, two and three parts, quoted or not', () => {
  expect(prepareQuery('select * from orders', known).tables).toEqual([orders])
  expect(prepareQuery('select * from SHOP . "orders"', known).tables).toEqual([orders])
  expect(prepareQuery('select * from other."Shop"."order items" i', known).tables).toEqual([items])
  expect(prepareQuery('show tables', known).tables).toEqual(known)
  // Of tables of one name only the one that is meant: another may be damaged.
  const twins = [orders, { ...orders, schema: 'old' }]
  expect(prepareQuery('select old.orders.id from old.orders', twins).tables).toEqual([twins[1]])
  expect(prepareQuery('select orders.id from orders', twins).tables).toEqual(twins)
})

test('prepareQuery() gives a reserved catalog its name in the engine, and only there', () => {
  const sql = `select 'main.shop.orders', main.x -- main.shop.orders\nfrom main.shop.orders main`
  expect(prepareQuery(sql, known).sql).toBe(
    `select 'main.shop.orders', main.x -- main.shop.orders\nfrom "main_".shop.orders main`,
  )
})

test('prepareQuery() leaves literals and comments out of the search', () => {
  expect(prepareQuery(`select 'orders' /* orders */`, known).tables).toEqual([])
})

test('a wrong statement is told from an engine in trouble', async () => {
  const engine = await openEngine({ valuesInErrors: true })
  for (const sql of ['SELEC 1', 'SELECT * FROM nowhere', 'SELECT a FROM (SELECT 1)']) {
    const error: unknown = await engine.rows(sql).catch(ofStatement)
    expect(error).toMatchObject({ code: 'ENGINE_FAILED' })
    expect((error as SluiceError).remedy).toContain('Correct the statement')
  }
  await engine.close()
  const trouble = new SluiceError('ENGINE_FAILED', 'Out of Memory Error: no room')
  expect(ofStatement(trouble)).toBe(trouble)
})

test('a table that is not there is told as one, though its schema is, with those there are', async () => {
  const context = {
    openEngine: async () => await openEngine({ valuesInErrors: true }),
    folders: async () => ({ table: () => '/nowhere' }),
    store: {
      destinations: async () => known.map((name) => ({ name, pipelineId: 'p', location: '' })),
    },
  } as unknown as Context
  for (const name of ['shop.nope', 'nope', 'other."Shop".nope']) {
    const error: unknown = await runQuery(context, `select * from ${name}`).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({
      message: expect.stringContaining('Table with name nope does not exist') as string,
      remedy: expect.stringContaining('main.shop.orders, other.Shop.Order Items') as string,
    })
  }
})
