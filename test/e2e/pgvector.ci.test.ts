/**
 * pgvector on a real server: vectors arrive as their text, copied and followed. Needs
 * `scripts/install-pgvector.sh`.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import { createScene, type Scene } from '../support/bad-input.ts'
import { startPgvector } from '../support/extension-servers.ts'
import { quoted } from '../support/sql-literals.ts'
import { runAndExpectTexts, typedTable } from '../support/typed-table.ts'

const columns = [
  {
    type: 'vector',
    values: [
      ...quoted('[1,2.5,-3]', '[0]', '[-0]', '[3.4028235e38,-1e-45]', '[0.1,16777217]'),
      '(SELECT array_agg(sin(n)) FROM generate_series(1, 16000) n)::real[]',
    ],
  },
  { type: 'vector(3)', values: quoted('[1,2,3]', '[-1.5,1e10,1e-10]') },
  {
    type: 'halfvec',
    values: [
      ...quoted('[65504,-65504]', '[5.9604645e-08]', '[0.1,0.333]'),
      '(SELECT array_agg(cos(n)) FROM generate_series(1, 16000) n)::real[]',
    ],
  },
  { type: 'halfvec(2)', values: quoted('[1,2]') },
  {
    type: 'sparsevec',
    values: [
      ...quoted('{1:1.5,3:-2}/5', '{}/3', '{1000000000:1e-30}/1000000000', '{1:0}/2'),
      '(SELECT array_agg(n % 2) FROM generate_series(1, 16000) n)::real[]::vector',
    ],
  },
  { type: 'sparsevec(5)', values: quoted('{2:7}/5') },
  { type: 'vector[]', values: [`ARRAY['[1,2]'::vector, NULL]`, `'{}'`] },
  { type: 'app.embedding', values: quoted('[1,0.25]') },
  { type: 'app.chunk', values: [`ROW('a "b"', '[1,2]')::app.chunk`] },
  { type: 'bit(3)', values: [`binary_quantize('[1,-1,1]'::vector)`] },
]
const table = typedTable('items', columns)
const places = columns.map((_, n) => n)

let server: EmbeddedPostgres
let scene: Scene

beforeAll(async () => {
  server = await startPgvector()
  scene = await createScene(server, 'pgvector')
  await scene.sql('CREATE EXTENSION vector')
  await scene.sqlAsRole(`CREATE DOMAIN app.embedding AS vector(2);
    CREATE TYPE app.chunk AS (body text, at vector);
    ${table.create}; CREATE INDEX ON app.items USING hnsw (c1 vector_l2_ops); ${table.insert(1)}`)
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

test('vectors of every kind are their text, copied and followed', async () => {
  await runAndExpectTexts(scene, 'items', places)
  await scene.sqlAsRole(`${table.insert(101)};
    UPDATE app.items SET note = 'large values stay'; UPDATE app.items SET id = -id WHERE id > 103;
    UPDATE app.items SET c0 = '[7,8]', c1 = '[9,8,7]' WHERE id < 5; DELETE FROM app.items WHERE id = 2`)
  await runAndExpectTexts(scene, 'items', places)
  // What the page on types says of vectors as arrays.
  const sum = `SELECT list_sum(c1::FLOAT[]) AS n FROM items WHERE id = 101`
  expect(JSON.parse((await scene.call('query', sum)).text)).toEqual({ n: 6 })
})
