import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
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
