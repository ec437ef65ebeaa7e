import { expect, test } from 'vitest'
import { prepareQuery } from './query.ts'

const orders = { catalog: 'main', schema: 'shop', table: 'orders' }
const items = { catalog: 'other', schema: 'Shop', table: 'Order Items' }
const known = [orders, items]

test('prepareQuery() finds tables by one, two and three parts, quoted or not', () => {
  expect(prepareQuery('select * from orders', known).tables).toEqual([orders])
  expect(prepareQuery('select * from SHOP . "orders"', known).tables).toEqual([orders])
  expect(prepareQuery('select * from other."Shop"."order items" i', known).tables).toEqual([items])
  expect(prepareQuery('show tables', known).tables).toEqual(known)
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
