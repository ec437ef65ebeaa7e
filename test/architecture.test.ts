/** Who may import whom. The tree is the way of the data; these walls keep it so. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** folder → folders whose values it may import; `types` are allowed as `import type` only. */
const walls: Record<string, { values: readonly string[]; types?: readonly string[] }> = {
  base: { values: [] },
  observe: { values: ['base'] },
  columnar: { values: ['base'] },
  storage: { values: ['base'] },
  engine: { values: ['base'] },
  delta: { values: ['base', 'storage', 'columnar', 'engine'] },
  source: { values: ['base', 'observe', 'columnar'] },
  staging: { values: ['base', 'observe', 'storage', 'columnar'], types: ['source'] },
  catalog: { values: ['base', 'storage'] },
  gateway: {
    values: ['base', 'observe', 'columnar', 'staging'],
    types: ['source', 'storage', 'catalog'],
  },
  destination: {
    values: ['base', 'observe', 'columnar', 'delta', 'engine'],
    types: ['source', 'storage', 'catalog', 'staging'],
  },
  pipeline: {
    values: ['base', 'observe', 'engine', 'staging', 'destination'],
    types: ['source', 'storage', 'catalog', 'delta'],
  },
  verify: {
    values: ['base', 'observe', 'engine', 'delta', 'destination'],
    types: ['source', 'columnar', 'storage', 'catalog', 'staging'],
  },
  quickstart: { values: ['base'], types: ['cli', 'catalog', 'observe'] },
  app: {
    values: [
      'base',
      'observe',
      'columnar',
      'storage',
      'engine',
      'delta',
      'source',
      'staging',
      'catalog',
      'gateway',
      'destination',
      'pipeline',
      'verify',
      'quickstart',
    ],
    types: ['cli'],
  },
  cli: {
    values: ['base', 'observe', 'catalog'],
    types: ['source', 'gateway', 'pipeline', 'verify', 'destination'],
  },
}

/** Drivers and engines have one door each. */
const doors: Record<string, RegExp> = {
  pg: /^quickstart\//,
  '@duckdb/node-api': /^engine\//,
  hyparquet: /^delta\//,
  yaml: /^catalog\//,
}

interface Import {
  readonly file: string
  readonly target: string
  readonly typeOnly: boolean
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8')
  const pattern = /^(import|export)\s+(type\s+)?[^'";]*?\bfrom\s+'([^']+)'/gm
  return [...text.matchAll(pattern)].map((match) => ({
    file,
    typeOnly: match[2] !== undefined,
    target: match[3] ?? '',
  }))
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((path) => path.split(sep).join('/'))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))

test('folders import only what lies on their side of the wall', () => {
  const broken: string[] = []
  for (const { file, target, typeOnly } of files.flatMap(importsOf)) {
    const folder = file.split('/')[0] ?? ''
    if (!target.startsWith('.') || !file.includes('/')) continue
    const to = relative(src, join(src, dirname(file), target)).split(sep)[0] ?? ''
    const rule = walls[folder]
    if (rule === undefined) broken.push(`${file}: folder "${folder}" has no rule`)
    else if (
      to !== folder &&
      !rule.values.includes(to) &&
      !(typeOnly && rule.types?.includes(to))
    ) {
      broken.push(`${file} imports ${target}`)
    }
  }
  expect(broken).toEqual([])
})

test('no source folder imports another', () => {
  const broken = files.flatMap(importsOf).filter(({ file, target }) => {
    const own = /^source\/(\w+)\//.exec(file)?.[1]
    const other = /^\.\.\/(mysql|postgres|sqlserver)\//.exec(target)?.[1]
    return own !== undefined && other !== undefined && own !== other
  })
  expect(broken).toEqual([])
})

test('drivers and engines are imported through one door', () => {
  const broken = files.flatMap(importsOf).filter(({ file, target }) => {
    const door = doors[target]
    return door !== undefined && !door.test(file)
  })
  expect(broken).toEqual([])
})

test('there are no barrels but the package entry', () => {
  const barrels = files.filter((file) => file.endsWith('/index.ts'))
  expect(barrels).toEqual([])
})

test('tests take their servers from the lane they run in', () => {
  const repository = fileURLToPath(new URL('..', import.meta.url))
  const tests = ['src', 'test'].flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
      .map((path) => `${folder}/${path.split(sep).join('/')}`)
      .filter((path) => path.endsWith('.test.ts') && !/quickstart|node_modules/.test(path)),
  )
  const direct = /import \{[^}]*\bstartEmbeddedPostgres\b[^}]*\} from '[^']*quickstart\//
  const own = tests.filter((path) => direct.test(readFileSync(join(repository, path), 'utf8')))
  expect(own).toEqual([])
})
