/** The types of the extensions that come with PostgreSQL: as their text, copied and followed. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createScene, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { quoted } from '../support/sql-literals.ts'
import { runAndExpectTexts, typedTable } from '../support/typed-table.ts'

const extensions =
  'hstore citext ltree cube earthdistance isn seg intarray lo tablefunc pgcrypto'.split(' ')

const columns = [
  {
    type: 'hstore',
    values: [
      ...quoted('', 'a=>NULL, "b c"=>"=>", "\\"q\\""=>"NULL"', '""=>"", "\\\\"=>"\n\t"'),
      `(SELECT hstore(array_agg('k' || n), array_agg(md5(n::text))) FROM generate_series(1, 3000) n)`,
    ],
  },
  { type: 'hstore[]', values: [`ARRAY['a=>1'::hstore, NULL, '']`] },
  { type: 'citext', values: [...quoted('', 'ÄB', 'NULL', '\\N', "'"), `repeat('É', 60000)`] },
  { type: 'citext[]', values: [`ARRAY['a,B', NULL, 'NULL', '"']::citext[]`] },
  { type: 'ltree', values: quoted('', 'Top.Science.Astronomy_2') },
  { type: 'lquery', values: quoted('*.!pizza*{2}', 'Top.*{1,3}.a@*%|b') },
  { type: 'ltxtquery', values: quoted('Europe & !(Transport | Asia*@)') },
  { type: 'ltree[]', values: quoted('{Top,Top.a,NULL}') },
  { type: 'cube', values: quoted('(1,2),(3,4.5)', '()', '(-0,1e300)', '(1)') },
  { type: 'earth', values: ['ll_to_earth(12.5, -41.25)'] },
  { type: 'seg', values: quoted('1.50', '6.25 .. 6.50', '< 1e10', '~2 ..', '5(+-)0.3') },
  { type: 'query_int', values: quoted('1&(2|!3)') },
  { type: 'int[]', values: [`sort('{3,1,2}'::int[])`, `'{1,2}'::int[] + 3`] },
  { type: 'isbn', values: quoted('978-0-393-04002-9', '0-393-04002-X') },
  { type: 'isbn13', values: quoted('978-0-393-04002-9') },
  { type: 'ismn', values: quoted('M-060-11561-5') },
  { type: 'ismn13', values: quoted('979-0-060-11561-5') },
  { type: 'issn', values: quoted('1436-4522') },
  { type: 'issn13', values: quoted('977-1436-452-00-8') },
  { type: 'ean13', values: quoted('4-006381-33393-1', '0220356483481') },
  { type: 'upc', values: quoted('220356483481') },
  { type: 'tablefunc_crosstab_2', values: [`ROW('r,"', NULL, '')::tablefunc_crosstab_2`] },
  { type: 'uuid', values: ['gen_random_uuid()', 'gen_random_uuid()'] },
  { type: 'app.tags', values: quoted('a=>"1,2"') },
  { type: 'app.node', values: [`ROW('Top.a', 'x=>"(y)"', 'Q"')::app.node`] },
]
const table = typedTable('zoo', columns)

let server: EmbeddedPostgres
let scene: Scene

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  scene = await createScene(server, 'extension')
  await scene.sql(extensions.map((name) => `CREATE EXTENSION ${name}`).join('; '))
  await scene.sqlAsRole(`CREATE DOMAIN app.tags AS hstore;
    CREATE TYPE app.node AS (path ltree, tags hstore, name citext);
    ${table.create}; ${table.insert(1)};
    CREATE TABLE app.numbers (id int PRIMARY KEY, file lo); INSERT INTO app.numbers VALUES (1, 4294967295), (2, NULL);
    CREATE TABLE app.names (name citext PRIMARY KEY, note text);
    CREATE TABLE app.paths (path ltree, tags hstore, PRIMARY KEY (path, tags));
    INSERT INTO app.names VALUES ('Anna', 'a'), ('Emil', 'u'); INSERT INTO app.paths VALUES ('a.b', 'x=>1'), ('', '')`)
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

async function runAndCompare(): Promise<void> {
  const places = columns.map((_, n) => n)
  await runAndExpectTexts(scene, 'zoo', places)
  await scene.expectEqual('numbers', 'names', 'paths')
}

test("the types of PostgreSQL's own extensions, also as keys, copied and followed", async () => {
  await runAndCompare()
  await scene.sqlAsRole(`${table.insert(101)};
    UPDATE app.zoo SET note = 'large values stay'; UPDATE app.zoo SET id = -id WHERE id > 103;
    UPDATE app.zoo SET c0 = c0 || 'new=>"\\\\"' WHERE id < 5; DELETE FROM app.zoo WHERE id = 2;
    UPDATE app.numbers SET file = 7 WHERE id = 2; INSERT INTO app.numbers VALUES (3, 0)`)
  // Equal to the server, yet another text.
  await scene.sqlAsRole(`UPDATE app.names SET name = 'ANNA' WHERE name = 'anna';
    UPDATE app.names SET note = 'found' WHERE name = 'aNNa'; DELETE FROM app.names WHERE name = 'eMIL';
    UPDATE app.paths SET path = 'a.B' WHERE path = 'a.b'; DELETE FROM app.paths WHERE path = ''`)
  await runAndCompare()
  const names = await scene.call('query', 'SELECT name, note FROM names')
  expect(JSON.parse(names.text)).toEqual({ name: 'ANNA', note: 'found' })
})
