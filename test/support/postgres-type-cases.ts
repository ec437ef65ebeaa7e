/** The inputs of the type test: every type with the limits and the ugliest values that its documentation names. */

import { postgresVersion } from './embedded-postgres.ts'
import { limitCases } from './postgres-limit-cases.ts'
import { quoted } from './sql-literals.ts'

export interface TypeCase {
  readonly type: string
  /** SQL literals or expressions; NULL is added to each. */
  readonly values: readonly string[]
  /** The canonical kind that the type must have; string when left out. */
  readonly kind?: string
  /** SQL for the truth of `c`, as text; left out: the output function's text. */
  readonly truth?: string
  /** The first major version that has it. */
  readonly since?: number
}

const nines = (count: number): string => '9'.repeat(count)

function decimal(precision: number, scale: number): TypeCase {
  const whole = precision - scale
  const largest = `${whole > 0 ? nines(whole) : '0'}${scale > 0 ? `.${nines(scale)}` : ''}`
  const least = scale > 0 ? `0.${'0'.repeat(scale - 1)}1` : '1'
  return {
    type: `numeric(${precision},${scale})`,
    kind: 'decimal',
    values: quoted(largest, `-${largest}`, '0', '-0', least, `-${least}`, 'NaN'),
    truth: `case when c <> 'NaN' then trunc(c * 10::numeric ^ ${scale})::text end`,
  }
}

const finite = (type: string): string =>
  `isfinite(c) and c >= '0001-01-01'::${type} and c < '10000-01-01'::${type}`
/** In whole parts: before 14 the server extracts them as floating-point numbers. */
const micros = (type: string): string =>
  `case when ${finite(type)} then (extract(epoch from date_trunc('second', c))::bigint * 1000000
    + extract(microseconds from c)::bigint % 1000000)::text end`

const moments = [
  ...quoted('infinity', '-infinity', '1970-01-01 00:00:00', '1969-12-31 23:59:59.999999'),
  ...quoted('0001-01-01 00:00:00', '9999-12-31 23:59:59.999999', '2000-02-29 12:34:56.1'),
  ...quoted('1900-02-28 23:59:59.000001', '2024-02-29 00:00:00.123456', '1582-10-10 01:02:03.04'),
  ...quoted('4713-01-01 00:00:00 BC', '0001-12-31 23:59:59 BC', '294276-12-31 23:59:59.999999'),
  ...quoted(
    '4714-11-24 00:00:00 BC',
    '4714-11-24 00:00:00.000001 BC',
    '9999-12-31 23:59:59.9999996',
  ),
  ...quoted('10000-01-01 00:00:00', '2038-01-19 03:14:08', '1883-11-18 12:03:58'),
]

const uglyTexts = [
  ...quoted(
    '',
    ' ',
    '\\',
    '\\N',
    '\\.',
    '\\x00',
    "'",
    '"',
    'NULL',
    'null',
    'é',
    '日本語',
    '😀',
    '👩‍👩‍👧',
  ),
  `E'a\\tb'`,
  `E'a\\nb\\r\\n'`,
  `E'\\b\\f\\v\\x01\\x7f'`,
  `E'\\\\t\\\\n'`,
  `repeat('x', 100000)`,
  `repeat(E'\\t\\\\', 50000)`,
  `U&'\\FEFF'`,
  `U&'\\2028\\0301'`,
]

const exactCases: readonly TypeCase[] = [
  { type: 'boolean', kind: 'boolean', values: ['true', 'false'], truth: 'c::text' },
  { type: 'int2', kind: 'int16', values: ['-32768', '32767', '0', '-1'], truth: 'c::text' },
  { type: 'int4', kind: 'int32', values: ['-2147483648', '2147483647', '0'], truth: 'c::text' },
  {
    type: 'int8',
    kind: 'int64',
    values: [
      ...quoted('-9223372036854775808', '9223372036854775807', '0', '-1', '9007199254740993'),
      ...quoted('4294967296', '-4294967297', '999999999', '1000000000', '-1000000000000000000'),
    ],
    truth: 'c::text',
  },
  { type: 'oid', kind: 'int64', values: ['0', '4294967295'], truth: 'c::text' },
  { type: 'xid', kind: 'int64', values: quoted('0', '4294967295'), truth: 'c::text' },
  { type: 'cid', kind: 'int64', values: quoted('7', '4294967295'), truth: 'c::text' },
  {
    type: 'xid8',
    kind: 'decimal',
    values: quoted('0', '9223372036854775808', '18446744073709551615'),
    truth: 'c::text',
  },
  {
    type: 'float4',
    kind: 'float32',
    values: [
      ...quoted(
        'NaN',
        'Infinity',
        '-Infinity',
        '0',
        '-0',
        '1e-45',
        '3.4028235e38',
        '1.17549435e-38',
      ),
      ...quoted('1.1', '0.3', '16777217', '1.00000006', '-123456.789', '8.5899346e9', '7.7e-10'),
    ],
    truth: `encode(float4send(c), 'hex')`,
  },
  {
    type: 'float8',
    kind: 'float64',
    values: [
      ...quoted('NaN', 'Infinity', '-Infinity', '0', '-0', '5e-324', '1.7976931348623157e308'),
      ...quoted(
        '2.2250738585072014e-308',
        '0.1',
        '0.30000000000000004',
        '9007199254740993',
        '1e22',
      ),
      ...quoted('1e23', '123456789012345680', '4.35', '1e15', '1e16', '-1e-7', '0.000001'),
      'pi()',
      'exp(1)::float8',
    ],
    truth: `encode(float8send(c), 'hex')`,
  },
  ...[
    [1, 0],
    [1, 1],
    [9, 0],
    [9, 9],
    [10, 0],
    [12, 2],
    [18, 0],
    [18, 18],
    [19, 0],
    [20, 3],
    [38, 0],
    [38, 10],
    [38, 38],
  ].map(([precision, scale]) => decimal(precision ?? 0, scale ?? 0)),
  {
    type: 'bytea',
    kind: 'binary',
    values: [
      `''`,
      `'\\x00'`,
      `'\\xdeadbeef'`,
      `'\\x5c5c4e0a09'`,
      `decode(repeat('00ff', 50000), 'hex')`,
      `(select string_agg(set_byte('\\x00', 0, i), '' order by i) from generate_series(0, 255) i)`,
    ],
    truth: `encode(c, 'hex')`,
  },
  {
    type: 'date',
    kind: 'date',
    values: [
      ...quoted('infinity', '-infinity', '1970-01-01', '1969-12-31', '0001-01-01', '9999-12-31'),
      ...quoted('2000-02-29', '1900-02-28', '0044-03-15 BC', '10000-01-01', '5874897-12-31'),
      ...quoted('4714-11-24 BC', '0001-12-31 BC', '1582-10-15'),
    ],
    truth: `case when ${finite('date')} then (c - '1970-01-01'::date)::text end`,
  },
  { type: 'timestamp', kind: 'timestamp_ntz', values: moments, truth: micros('timestamp') },
  { type: 'timestamp(0)', kind: 'timestamp_ntz', values: moments, truth: micros('timestamp') },
  {
    type: 'timestamptz',
    kind: 'timestamp',
    values: [...moments, `'2024-06-01 12:00:00+05:45'`, `'0001-01-01 00:00:00-15:59'`],
    truth: micros('timestamptz'),
  },
  { type: 'timestamptz(3)', kind: 'timestamp', values: moments, truth: micros('timestamptz') },
]

const domainCases: readonly TypeCase[] = [
  {
    type: 'amount',
    kind: 'decimal',
    values: ['0', '12.34', '-99999999.99'],
    truth: 'trunc(c * 100)::text',
  },
  { type: 'positive_amount', kind: 'decimal', values: ['12.34'], truth: 'trunc(c * 100)::text' },
  { type: 'label', values: uglyTexts },
  { type: 'instant', kind: 'timestamp', values: moments, truth: micros('timestamptz') },
  { type: 'colours', values: quoted('{red,green}') },
]

const textCases: readonly TypeCase[] = [
  { type: 'text', values: uglyTexts },
  { type: 'varchar', values: uglyTexts },
  { type: 'varchar(7)', values: quoted('', 'é日😀', '       ') },
  { type: 'char(5)', values: quoted('', 'a', ' a', 'é日😀', '     ') },
  { type: 'char', values: quoted('', 'x') },
  { type: '"char"', values: [...quoted('', 'x', '\\'), `'\\377'`] },
  { type: 'name', values: quoted('', 'a b', '日本') },
  { type: 'numeric', values: quoted('NaN', '0', '1.10', `1e400`, '-1e-400') },
  { type: 'numeric', values: quoted('Infinity', '-Infinity'), since: 14 },
  { type: 'numeric(39,0)', values: [nines(39), `'NaN'`] },
  { type: 'numeric(100,50)', values: quoted('1', `-${nines(50)}.${nines(50)}`) },
  { type: 'numeric(5,-2)', values: quoted('12345', '-9999949'), since: 15 },
  { type: 'numeric(2,5)', values: quoted('0.00099', '-0.00001'), since: 15 },
  {
    type: 'uuid',
    values: quoted('00000000-0000-0000-0000-000000000000', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'),
  },
  {
    type: 'json',
    values: quoted('null', '{"a": 1e400, "a":  "\\u00e9\\n"}', '[ 1, 2 ]', '"\\\\"'),
  },
  { type: 'jsonb', values: quoted('null', '{"b": 1e400, "a": 1.10, "a": 2}', '"\\t\\"\\\\"') },
  { type: 'mood', values: quoted('sad', 'it\'s, "odd"\\', '日本') },
  {
    type: 'pair',
    values: ['row(1, null)::pair', `row(null, E'a\\t"b"\\\\')::pair`, 'row(null, null)::pair'],
  },
  { type: 'int4[]', values: quoted('{}', '{1,NULL,3}', '{{1,2},{3,4}}', '[0:2]={1,2,3}') },
  { type: 'text[]', values: ["'{}'", `array['', 'NULL', null, 'a,b', E'\\t\\n\\\\"', '{}', ' ']`] },
  { type: 'timestamptz[]', values: quoted('{infinity,"2024-01-01 00:00:00+02"}') },
  { type: 'text[]', values: quoted('{NULL,"NULL","null",""," ","a\\"b","\\\\","{}",",","\'"}') },
  { type: 'text[]', values: quoted('[-2:-1][5:6]={{a,b},{c,NULL}}', '{{{1}}}') },
  { type: 'numeric[]', values: quoted('{NaN,1e400,-0.10}') },
  { type: 'bytea[]', values: [`array['\\x00'::bytea, '\\x5c']`] },
  { type: 'box[]', values: quoted('{(1,1),(0,0);(2,2),(1,1)}') },
  { type: 'mood[]', values: [`array['it''s, "odd"\\', null]::mood[]`] },
  { type: 'pair[]', values: [`array[row(1, 'a,"b"')::pair, null]`] },
  { type: 'int2vector', values: quoted('1 2 -3', '') },
  { type: 'oidvector', values: quoted('1 4294967295') },
  { type: 'int4range', values: quoted('empty', '[1,5)', '(,)') },
  { type: 'numrange', values: quoted('(1.10,NaN]', '[-1e400,)') },
  { type: 'daterange', values: quoted('[-infinity,infinity]', '["0044-03-15 BC",)') },
  { type: 'tsrange', values: quoted('[-infinity,"294276-12-31 23:59:59.999999"]') },
  { type: 'tstzrange', values: quoted('["2024-01-01 00:00+02",infinity)', '(,"2024-01-01"]') },
  { type: 'int8multirange', values: quoted('{}', '{[1,3),[5,)}'), since: 14 },
  {
    type: 'interval',
    values: quoted(
      '1 year -2 months 3 days -04:05:06.000007',
      '0',
      '-178000000 years',
      '-1 mons +1 days -00:00:00.000001',
      '100 millennium 3 decades 5 weeks',
    ),
  },
  {
    type: 'interval',
    values: quoted('178956970 years 7 mons 2147483647 days 2562047788:00:54.775807'),
    since: 15,
  },
  { type: 'interval day to second(2)', values: quoted('1 day 02:03:04.567') },
  { type: 'time(0)', values: quoted('23:59:59.9', '24:00:00') },
  { type: 'time', values: quoted('00:00', '24:00:00', '23:59:59.999999') },
  { type: 'timetz', values: quoted('24:00:00-15:59', '12:34:56.7+05:45') },
  {
    type: 'money',
    kind: 'decimal',
    values: [
      ...quoted('0', '-12345.67', '92233720368547758.07', '-92233720368547758.08', '0.01'),
      ...quoted('-0.01', '999.99', '1000', '-999999.10', '1000000'),
    ],
    truth: 'trunc(c::numeric * 100)::text',
  },
  { type: 'cash', values: quoted('-12345.67') },
  { type: 'money[]', values: quoted('{1.50,NULL}') },
  { type: 'inet', values: quoted('10.0.0.1/8', '::1', '::ffff:1.2.3.4/128') },
  { type: 'cidr', values: quoted('10.0.0.0/8', '2001:db8::/32') },
  { type: 'macaddr', values: quoted('08:00:2b:01:02:03') },
  { type: 'macaddr8', values: quoted('08:00:2b:01:02:03:04:05') },
  { type: 'bit(5)', values: [`B'10101'`] },
  { type: 'varbit', values: [`B''`, `B'1'`, `repeat('01', 5000)::varbit`] },
  { type: 'xml', values: quoted('<a>\\t&amp;</a>', 'text') },
  { type: 'tsvector', values: quoted("'a':1A,2 'b\\c'''") },
  { type: 'tsquery', values: quoted("'a' & !'b'") },
  { type: 'pg_lsn', values: quoted('0/0', 'FFFFFFFF/FFFFFFFF') },
  { type: 'txid_snapshot', values: quoted('10:20:10,14,15') },
  { type: 'regclass', values: quoted('pg_class') },
  { type: 'point', values: quoted('(1.1,-0)', '(NaN,Infinity)') },
  { type: 'line', values: quoted('{1,2,3}') },
  { type: 'lseg', values: quoted('[(0,0),(1,1)]') },
  { type: 'box', values: quoted('(1,1),(0,0)') },
  { type: 'path', values: quoted('((0,0),(1,1))', '[(0,0)]') },
  { type: 'polygon', values: quoted('((0,0),(1,1),(1,0))') },
  { type: 'circle', values: quoted('<(0,0),1.5>') },
  { type: 'hstore', values: quoted('', 'a=>NULL, "b c"=>"=>", "\\"q\\""=>"NULL"') },
  { type: 'citext', values: uglyTexts },
  { type: 'ltree', values: quoted('', 'Top.Science.Astronomy') },
  { type: 'lquery', values: quoted('*.!pizza*{2}') },
  { type: 'cube', values: quoted('(1,2),(3,4.5)') },
  { type: 'deep', values: quoted('{1,2}', '[2:3]={7,NULL}') },
  { type: 'pg_snapshot', values: quoted('10:20:10,14,15') },
  { type: 'regtype', values: quoted('timestamptz', 'mood') },
  { type: 'regproc', values: quoted('now') },
  { type: 'jsonpath', values: quoted('$."a"[*] ? (@ > 1)') },
  { type: 'tid', values: quoted('(1,2)') },
]

export const typeCases = [...exactCases, ...domainCases, ...textCases, ...limitCases].filter(
  ({ since = 0 }) => postgresVersion >= since,
)
