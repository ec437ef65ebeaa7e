/** The queries by which `docs/type-mapping.md` makes lists of the texts of arrays give what PostgreSQL has. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createScene } from '../support/bad-input.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'

const page = readFileSync(new URL('../../docs/type-mapping.md', import.meta.url), 'utf8')
const block = /```sql\n(.*?)```/s.exec(page.slice(page.indexOf('### Arrays')))?.[1] ?? ''
const queries = block
  .replaceAll(/^--.*$/gm, '')
  .split(';\n')
  .map((query) => query.trim())
  .filter(Boolean)

test('lists made of arrays and vectors are those of the source', async () => {
  const server = await startEmbeddedPostgres()
  const scene = await createScene(server, 'lists')
  try {
    await scene.sqlAsRole(String.raw`CREATE TABLE app.parts (id int PRIMARY KEY, sizes int[], tags text[], embedding text);
      INSERT INTO app.parts VALUES (1, '{}', '{}', '[1,2.5,-3]'), (2, '[0:2]={1,NULL,-3}', '{NULL}', NULL),
        (3, NULL, NULL, '[]'),
        (4, '{2147483647}', ARRAY['', 'NULL', NULL, 'null', 'a,b', E'\t\n\\"', '{}', ' ', 'a''b', '[', '日😀'], '[1]'),
        (5, '[-2:-1]={7,8}', ARRAY[E'\\', '"', E'\\"', 'n'], NULL)`)
    expect((await scene.runOnce()).exitCode).toBe(0)
    const names = ['sizes', 'tags', 'embedding'] as const
    const source = await scene.sql(`SELECT to_json(sizes) AS sizes, to_json(tags) AS tags,
      embedding::json AS embedding FROM app.parts ORDER BY id`)
    expect(queries).toHaveLength(names.length)
    for (const [n, query] of queries.entries()) {
      const { text } = await scene.call(
        'query',
        `${query.replace('shop.parts', 'parts')} ORDER BY id`,
      )
      expect(text).not.toContain('error')
      const lists = text
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as Record<string, unknown>)[names[n] ?? ''])
      expect(lists).toEqual(source.map((row) => row[names[n] ?? '']))
    }
  } finally {
    scene.dispose()
    await server.stop()
  }
})
