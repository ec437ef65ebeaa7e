import { expect, test } from 'vitest'
import { mapNumeric, mapOid, numericTypmod } from '../../../test/support/decode-cells.ts'
import { mapPostgresType, typeOid } from './types.ts'

test('mapPostgresType() knows the listed types by oid', () => {
  const kinds = Object.entries(typeOid).map(([name, oid]) => [name, mapOid(oid).type.kind])
  expect(Object.fromEntries(kinds)).toEqual({
    bool: 'boolean',
    bytea: 'binary',
    char: 'string',
    name: 'string',
    int8: 'int64',
    int2: 'int16',
    int4: 'int32',
    text: 'string',
    oid: 'int64',
    xid: 'int64',
    cid: 'int64',
    xid8: 'decimal',
    json: 'string',
    money: 'string',
    float4: 'float32',
    float8: 'float64',
    bpchar: 'string',
    varchar: 'string',
    date: 'date',
    timestamp: 'timestamp_ntz',
    timestamptz: 'timestamp',
    numeric: 'string',
    uuid: 'string',
    jsonb: 'string',
  })
})

test('mapPostgresType() holds numeric(p,s) as decimal where a decimal can', () => {
  for (const [precision, scale] of [
    [1, 0],
    [1, 1],
    [9, 9],
    [10, 2],
    [18, 18],
    [19, 0],
    [38, 0],
    [38, 38],
  ] as const) {
    expect(mapNumeric(precision, scale).type).toEqual({ kind: 'decimal', precision, scale })
  }
  for (const [precision, scale] of [
    [39, 0],
    [1000, 10],
    [5, -2],
    [2, 5],
    [3, 1000],
    [38, -1000],
  ] as const) {
    expect(mapNumeric(precision, scale).type).toEqual({ kind: 'string' })
  }
})

test('mapPostgresType() treats a domain as its base', () => {
  const domain = { typeOid: 99999, typmod: -1, typtype: 'd' }
  const money = numericTypmod(12, 2)
  expect(
    mapPostgresType({ ...domain, baseTypeOid: typeOid.numeric, baseTypmod: money }).type,
  ).toEqual({ kind: 'decimal', precision: 12, scale: 2 })
  expect(mapPostgresType({ ...domain, baseTypeOid: typeOid.int4 }).type).toEqual({ kind: 'int32' })
  expect(mapPostgresType({ ...domain, baseTypeOid: typeOid.text }).type).toEqual({ kind: 'string' })
  expect(mapPostgresType(domain).type).toEqual({ kind: 'string' })
})

test('mapPostgresType() never refuses a type', () => {
  for (const typtype of ['b', 'c', 'd', 'e', 'm', 'p', 'r', '?']) {
    expect(mapPostgresType({ typeOid: 123456, typmod: 7, typtype }).type).toEqual({
      kind: 'string',
    })
  }
})
