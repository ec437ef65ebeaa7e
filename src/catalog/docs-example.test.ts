import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { postgresOptions } from './connection.ts'
import { parseResourceFile } from './resource-file.ts'

test.each(['README.md', 'docs/configuration.md'])(
  'the resource file shown in %s is valid',
  (file) => {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
    const examples = [...text.matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1] ?? '')
    expect(examples).toHaveLength(1)
    for (const example of examples) {
      const result = parseResourceFile(example, { file, env: { SHOP_PASSWORD: 'x' } })
      expect(result).toMatchObject({ kind: 'valid', warnings: [] })
    }
  },
)

test('docs/configuration.md has every option of a connection, with its default', () => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
  for (const [name, { summary, initial }] of Object.entries(postgresOptions)) {
    expect(page).toContain(`| \`${name}\` | ${summary} | ${initial} |`)
  }
})
