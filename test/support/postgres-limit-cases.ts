/**
 * Further inputs of the type test, by PostgreSQL's chapter on data types: the limits of every type,
 * arrays of every scalar type, and what is made of them.
 */
import type { TypeCase } from './postgres-type-cases.ts'
import { quoted } from './sql-literals.ts'

const numbers: readonly TypeCase[] = [
  {
    type: 'numeric',
    values: [
      `('-' || repeat('9', 131072))::numeric`,
      `('0.' || repeat('0', 16382) || '1')::numeric`,
      `(repeat('9', 131072) || '.' || repeat('7', 16383))::numeric`,
      ...quoted('0.0000', '-0', '100', '1e-20', '00012.3400'),
    ],
  },
  { type: 'numeric(1000,0)', values: [`repeat('9', 1000)::numeric`, `'NaN'`] },
  { type: 'numeric(1000,1000)', values: [`('-0.' || repeat('3', 1000))::numeric`] },
  { type: 'numeric(3,-1000)', values: [`('999' || repeat('0', 1000))::numeric`], since: 15 },
  { type: 'numeric(3,1000)', values: [`('0.' || repeat('0', 997) || '123')::numeric`], since: 15 },
  {
    type: 'money',
    kind: 'decimal',
    values: ['0.005::numeric', '-1.995::numeric'],
    truth: 'trunc(c::numeric * 100)::text',
  },
]

const times: readonly TypeCase[] = [
  { type: 'time(3)', values: quoted('23:59:59.9996', '00:00:00.0004') },
  {
    type: 'timetz',
    values: quoted('00:00+15:59:59', '24:00:00+15:59:59', '23:59:59.999999-00:00:01'),
  },
  { type: 'timetz(2)', values: quoted('23:59:59.995+01') },
  {
    type: 'interval',
    values: quoted(
      '-1 year -2 mons -3 days -04:05:06.7',
      '1 mon -1 day',
      '-1 day 00:00:01',
      '00:00:00.000001',
      '838:59:59',
    ),
  },
  {
    type: 'interval',
    values: quoted('-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807'),
    since: 15,
  },
  { type: 'interval', values: quoted('infinity', '-infinity'), since: 17 },
  { type: 'interval year to month', values: quoted('1 year 5 mons', '-5 mons') },
  { type: 'interval minute', values: quoted('1 day 05:17:59') },
  { type: 'interval(0)', values: quoted('00:00:01.9', '-00:00:01.9') },
]

const texts: readonly TypeCase[] = [
  { type: 'name', values: [`repeat('n', 63)`, `repeat('é', 31)`] },
  { type: 'varchar(10485760)', values: [`repeat('é', 200000)`] },
  { type: 'char(3000)', values: quoted('x') },
  { type: '"char"', values: [`'\\200'`, `E'\\n'`, `E'\\t'`, `'N'`] },
  { type: 'bit', values: [`B'0'`] },
  { type: 'bit(70)', values: [`repeat('10', 35)::bit(70)`] },
  { type: 'varbit(3)', values: [`B''`, `B'101'`] },
  {
    type: 'json',
    values: [
      `(repeat('[', 2000) || repeat(']', 2000))::json`,
      `('[' || repeat('9', 50000) || ', -0, 1E-400]')::json`,
      `E'\\n{\\t"a"\\r\\n: 1 }  '::json`,
      ...quoted('"\\ud83d\\ude00 \\/ \\u0041"', '""', 'true', '{"": {"": null}}'),
    ],
  },
  {
    type: 'jsonb',
    values: [
      `(repeat('{"a":[', 1000) || repeat(']}', 1000))::jsonb`,
      `('1' || repeat('0', 100000))::jsonb`,
      ...quoted(
        '"\\ud83d\\ude00 \\/ \\u0041"',
        '-0',
        '1.000',
        '{}',
        '[[], {}]',
        '{"z": 1, "aa": 2, "": 3}',
      ),
    ],
  },
  {
    type: 'jsonpath',
    values: quoted(
      'strict $."a\\"b".c[0 to last] ? (@.x like_regex "^\\\\d" flag "i")',
      '$.keyvalue()',
    ),
  },
  {
    type: 'xml',
    values: [
      `xmlparse(document '<?xml version="1.0"?><a><![CDATA[<&>]]></a>')`,
      `E'<a b="1">\\n\\t<!-- é -->\\\\ </a>'`,
      `''`,
    ],
  },
  {
    type: 'tsvector',
    values: [
      `''`,
      `'a:16383A b:1,2,3B,4C'`,
      `$$'it''s' ' ' 'x\\\\y'$$`,
      `(SELECT string_agg('w' || n || ':' || n, ' ') FROM generate_series(1, 5000) n)::tsvector`,
    ],
  },
  { type: 'tsquery', values: [`''`, `'a <2> b:*A & !(c | d:BC)'`, `$$'it''s' <-> ' '$$`] },
  { type: 'uuid', values: quoted('{ffffffff-ffff-ffff-ffff-ffffffffffff}') },
]

const networks: readonly TypeCase[] = [
  {
    type: 'inet',
    values: quoted(
      '0.0.0.0/0',
      '255.255.255.255',
      '192.168.0.1/24',
      '::/0',
      '2001:db8::1/127',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    ),
  },
  {
    type: 'cidr',
    values: quoted('0.0.0.0/0', '10', '192.168.1.7/32', '::/0', '::ffff:1.2.3.0/120'),
  },
  { type: 'macaddr', values: quoted('00:00:00:00:00:00', 'FF-FF-FF-FF-FF-FF') },
  { type: 'macaddr8', values: quoted('ff:ff:ff:ff:ff:ff:ff:ff', '08:00:2b:01:02:03') },
]

const shapes: readonly TypeCase[] = [
  { type: 'point', values: quoted('(-Infinity,1e308)', '(5e-324,0.1)') },
  { type: 'line', values: quoted('{1,-1,0}', '{0,1,NaN}', '[(0,0),(0,1)]') },
  { type: 'lseg', values: quoted('[(-1e300,NaN),(Infinity,0)]') },
  { type: 'box', values: quoted('(0,0),(1,1)', '(NaN,-0),(Infinity,-1)') },
  {
    type: 'path',
    values: [...quoted('[(1,2),(3,4)]', '((1,2))'), `path(polygon(3000, '<(0,0),1>'::circle))`],
  },
  { type: 'polygon', values: [`'((1,1))'`, `polygon(3000, '<(0,0),1>'::circle)`] },
  { type: 'circle', values: quoted('<(1,-2),0>', '<(NaN,Infinity),Infinity>') },
]

const systems: readonly TypeCase[] = [
  { type: 'regclass', values: quoted('-', 'information_schema.sql_features', '4000000000') },
  { type: 'regtype', values: quoted('"char"', 'int[]', 'interval') },
  { type: 'regproc', values: quoted('-', 'pg_catalog.now') },
  { type: 'regprocedure', values: quoted('lower(text)', 'sum(numeric)', '-') },
  { type: 'regoper', values: quoted('||/', '|/') },
  { type: 'regoperator', values: quoted('+(integer,integer)', '|/(NONE,double precision)') },
  { type: 'regrole', values: quoted('postgres', '-') },
  { type: 'regnamespace', values: quoted('pg_catalog', 'public') },
  { type: 'regconfig', values: quoted('english') },
  { type: 'regdictionary', values: quoted('simple') },
  { type: 'regcollation', values: quoted('"C"', '"POSIX"') },
  { type: 'refcursor', values: quoted('a "cursor"', '') },
  { type: 'aclitem', values: quoted('postgres=r*w/postgres', '=U/postgres') },
  { type: 'aclitem[]', values: quoted('{postgres=arwdDxt/postgres,=r/postgres}') },
  { type: 'pg_lsn', values: quoted('1/0', '16/B374D848') },
  { type: 'pg_snapshot', values: quoted('1:9223372036854775807:', '10:10:') },
  { type: 'txid_snapshot', values: quoted('1:4611686018427387907:') },
  { type: 'int2vector', values: quoted('-32768 32767') },
  { type: 'oidvector', values: quoted('0', '') },
  { type: 'tid', values: quoted('(4294967295,65535)', '(0,0)') },
  { type: 'information_schema.sql_identifier', values: quoted('pg "class"') },
  {
    type: 'information_schema.cardinal_number',
    kind: 'int32',
    values: ['0', '2147483647'],
    truth: 'c::text',
  },
]

/** Element type → text of an array of one dimension. */
const arrayElements: Readonly<Record<string, string>> = {
  bool: '{t,f,NULL}',
  int2: '{-32768,32767}',
  int8: '{-9223372036854775808,9223372036854775807}',
  float4: '{NaN,-Infinity,-0,1e-45,3.4028235e38}',
  float8: '{NaN,Infinity,-0,5e-324,1.7976931348623157e308}',
  'numeric(5,2)': '{NaN,-999.99}',
  oid: '{4294967295}',
  '"char"': '{"",x,"\\\\","\\""}',
  'char(3)': '{"",a,"  b"}',
  'varchar(4)': '{é日😀,"    "}',
  name: '{"a b",NULL,"NULL"}',
  date: '{infinity,"0044-03-15 BC",5874897-12-31}',
  timestamp: '{-infinity,"4714-11-24 00:00:00 BC","294276-12-31 23:59:59.999999"}',
  time: '{24:00:00,00:00:00.000001}',
  timetz: '{24:00:00-15:59:59}',
  interval: '{"1 mon -1 days",00:00:00,"-00:00:00.000001"}',
  uuid: '{00000000-0000-0000-0000-000000000000}',
  json: '{"{\\"a\\": [1, \\"b\\\\\\"c\\"]}",null,NULL}',
  jsonb: '{"{\\"a\\": 1.0}","\\"\\\\\\\\\\""}',
  jsonpath: '{"$.a[*]"}',
  xml: '{"<a b=\\"1\\"/>"}',
  'bit(3)': '{101,000}',
  varbit: '{"",1}',
  inet: '{10.0.0.1/8,::1}',
  cidr: '{10.0.0.0/8}',
  macaddr: '{08:00:2b:01:02:03}',
  macaddr8: '{08:00:2b:01:02:03:04:05}',
  tsvector: `{"'a':1 'b c':2A"}`,
  tsquery: `{"'a' & !'b'"}`,
  pg_lsn: '{0/0,FFFFFFFF/FFFFFFFF}',
  xid: '{4294967295}',
  point: '{"(1,-0)","(NaN,Infinity)"}',
  lseg: '{"[(0,0),(1,1)]"}',
  line: '{"{1,2,3}"}',
  path: '{"((0,0),(1,1))","[(0,0)]"}',
  polygon: '{"((0,0),(1,1),(1,0))"}',
  circle: '{"<(0,0),1.5>"}',
  int4range: '{empty,"[1,5)","(,)"}',
  tsrange: '{"[\\"2024-01-01 00:00:00\\",infinity)"}',
  regclass: '{pg_class,NULL}',
  mood: '{sad,"it\'s, \\"odd\\"\\\\",日本}',
  amount: '{1.50,NULL,-0.00}',
  positive_amount: '{0.01}',
  label: '{"a,b",NULL}',
  colours: '{"{red,green}","{}"}',
  instant: '{infinity,"2024-01-01 00:00:00+05:45"}',
  nest: '{"(\\"(1,\\"\\"a,\\"\\")\\",\\"{\\"\\"(2,b)\\"\\"}\\",sad,{1})"}',
}

const arrays: readonly TypeCase[] = [
  ...Object.entries(arrayElements).map(([type, text]) => ({
    type: `${type}[]`,
    values: quoted(text, '{}'),
  })),
  {
    type: 'int4[]',
    values: quoted(
      '{{{{{{1,2},{3,NULL}}}}}}',
      '[1:1][-2:-1][3:3][4:4][5:5][6:7]={{{{{{1,2}}}},{{{{3,4}}}}}}',
      '[5:5]={-1}',
    ),
  },
  {
    type: 'int4[]',
    values: [
      '(SELECT array_agg(n) FROM generate_series(1, 100000) n)',
      `'[-2147483648:-2147483647]={1,2}'`,
    ],
  },
  { type: 'int4[3][2]', values: quoted('{1}') },
  {
    type: 'text[]',
    values: [
      `array_fill(null::text, '{2,2}')`,
      `array_fill('"'::text, '{1,3}', '{0,-1}')`,
      `array[E'\\n', E'\\v', U&'\\00A0', '{', 'nUlL', '\\']`,
    ],
  },
  { type: 'hstore[]', values: [`array['"a,b"=>"c\\"d"'::hstore]`] },
  { type: 'citext[]', values: quoted('{A,"b c"}') },
]

const ranges: readonly TypeCase[] = [
  {
    type: 'int4range',
    values: quoted('(1,5]', '[2147483646,2147483647)', '[-2147483648,]', '[3,3)'),
  },
  { type: 'int8range', values: quoted('(-9223372036854775808,9223372036854775806]', 'empty') },
  {
    type: 'numrange',
    values: quoted('(1,1]', '[-Infinity,Infinity]', '(,)', '[1.0,1.00]'),
    since: 14,
  },
  { type: 'daterange', values: quoted('["4714-11-24 BC",5874897-12-31)', '[,2024-02-29]') },
  {
    type: 'tsrange',
    values: quoted('("2024-01-01 00:00:00.000001","2024-01-01 00:00:00.000002"]', 'empty'),
  },
  {
    type: 'tstzrange',
    values: quoted('["0044-03-15 00:00+00 BC","294276-12-31 23:59:59.999999+00"]'),
  },
  {
    type: 'textrange',
    values: [
      ...quoted('["a,b","c)")', '("\\"","a\\\\"]', '["",)', 'empty'),
      `textrange('', ' ', '[]')`,
    ],
  },
  {
    type: 'floatrange',
    values: quoted('[-0,5e-324)', '[NaN,NaN]', '(-Infinity,1.7976931348623157e308]'),
  },
  { type: 'span', values: quoted('[1,9)', 'empty') },
  { type: 'pairrange', values: [`pairrange((1,'a,"')::pair, (2,null)::pair)`] },
  {
    type: 'int4multirange',
    values: quoted('{}', '{(,)}', '{[1,2),[5,7),[100,)}', '{empty}'),
    since: 14,
  },
  { type: 'nummultirange', values: quoted('{(1.10,NaN],(-Infinity,-1e400)}'), since: 14 },
  {
    type: 'datemultirange',
    values: quoted('{[-infinity,"0001-01-01"),[2024-01-01,infinity]}'),
    since: 14,
  },
  {
    type: 'tsmultirange',
    values: quoted('{["2024-01-01 00:00:00","2024-01-02 00:00:00"]}'),
    since: 14,
  },
  { type: 'tstzmultirange', values: quoted('{(,"2024-01-02 00:00:00+02")}'), since: 14 },
  { type: 'textmultirange', values: quoted('{["a,b","c)"),("d\\"",]}'), since: 14 },
  { type: 'int4multirange[]', values: quoted('{"{[1,2),[5,7)}",NULL}'), since: 14 },
]

const composites: readonly TypeCase[] = [
  {
    type: 'nest',
    values: [
      `row(row(1, '(a,"b")'), array[row(null, '')::pair, null], 'it''s, "odd"\\', '{}')::nest`,
      `row(row(null, null), null, null, array[null]::amount[])::nest`,
      `row(null, '{}', null, null)::nest`,
    ],
  },
  {
    type: 'pair',
    values: [`row(-1, '')::pair`, `row(0, ' ')::pair`, `row(1, E'\\n\\\\,()"')::pair`],
  },
  { type: 'strict_pair', values: [`row(1, 'x"')::pair`] },
  { type: 'mood_domain', values: quoted('sad', '日本') },
  { type: 'pairs', values: [`array[row(1, '{"x"}')::pair, null]`, `'{}'`] },
  { type: 'lonely', values: [`row(null)::lonely`, `row('')::lonely`, `row('NULL')::lonely`] },
]

/** Extensions whose types are among the cases. */
export const caseExtensions = `create extension hstore; create extension citext;
  create extension ltree; create extension cube;`

/** Types that the cases name. */
export const caseTypes = `
  create type mood as enum ('sad', 'it''s, "odd"\\', '日本');
  create type pair as (a int, b text);
  create domain amount as numeric(10,2);
  create domain positive_amount as amount check (value > 0);
  create domain cash as money;
  create domain label as text;
  create domain instant as timestamptz;
  create domain colours as text[];
  create domain numbers as int[];
  create domain deep as numbers check (cardinality(value) < 9);
  create type nest as (p pair, ps pair[], m mood, amounts amount[]);
  create type lonely as (a text);
  create type textrange as range (subtype = text, collation = "C");
  create type floatrange as range (subtype = float8);
  create type pairrange as range (subtype = pair);
  create domain span as int4range check (upper(value) < 100);
  create domain strict_pair as pair check ((value).a > 0);
  create domain mood_domain as mood;
  create domain pairs as pair[];`

export const limitCases: readonly TypeCase[] = [
  numbers,
  times,
  texts,
  networks,
  shapes,
  systems,
  arrays,
  ranges,
  composites,
].flat()
