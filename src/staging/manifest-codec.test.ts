import fc from 'fast-check'
import { expect, test } from 'vitest'
import { manifests } from '../../test/support/staging-fixtures.ts'
import { hasCode } from '../base/errors.ts'
import type { LogBase } from './log-base.ts'
import { decodeLogBase, decodeManifest, encodeLogBase, encodeManifest } from './manifest-codec.ts'
import type { Manifest } from './manifest.ts'
import { encodeSealedJson } from './sealed-json.ts'

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (hasCode(error, 'STAGING_MANIFEST_UNREADABLE')) return `${error.code}: ${error.message}`
    throw error
  }
  return 'readable'
}

const file = {
  path: 'tables/7/changes/00000000000000000003-1-0.parquet',
  rows: 2,
  bytes: 300,
  crc32: 0xdeadbeef,
  statistics: { rowCount: 2, columns: [{ name: 'größe', nullCount: 0, min: '-1', max: '😀' }] },
}
const changes = {
  kind: 'changes',
  table_id: '7',
  snapshot_id: 0,
  schema_version: 0,
  file,
  inserts: 1,
  updates: 1,
  deletes: 0,
  has_absent: false,
  min_sequence: '3',
  max_sequence: '4',
} as const
const sample: Manifest = {
  format: 1,
  commit: 5,
  epoch: 1,
  writer: 'w',
  created_at_ms: 1,
  incarnation: 'i',
  position_before: '0/1',
  position_after: '0/2',
  entries: [changes],
}

test('a manifest reads back as it was written', () => {
  fc.assert(
    fc.property(manifests, (manifest) => {
      const bytes = encodeManifest(manifest)
      expect(decodeManifest(bytes, manifest.commit, 'file:///v')).toEqual(manifest)
      expect(encodeManifest(decodeManifest(bytes, manifest.commit, ''))).toEqual(bytes)
    }),
  )
})

test('every flipped bit is noticed', () => {
  const bytes = encodeManifest(sample)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Uint8Array.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(codeOf(() => decodeManifest(flipped, 5, ''))).toMatch(/^STAGING_MANIFEST_UNREADABLE/)
  }
})

test('every truncation is noticed, and so is a second half of something else', () => {
  const bytes = encodeManifest(sample)
  for (let length = 0; length < bytes.length; length++) {
    const torn = bytes.subarray(0, length)
    expect(codeOf(() => decodeManifest(torn, 5, ''))).toMatch(/^STAGING_MANIFEST_UNREADABLE/)
    const zeros = Uint8Array.from(bytes).fill(0, length)
    expect(codeOf(() => decodeManifest(zeros, 5, ''))).toMatch(/^STAGING_MANIFEST_UNREADABLE/)
  }
})

const path = 'file:///v/_log/00000000000000000005.json'
test.each<[string, object, string]>([
  ['another format', { ...sample, format: 2, entries: 'new' }, 'format: 2 is not known'],
  ['a missing member', { ...sample, writer: undefined }, 'writer: is missing'],
  ['an unknown member', { ...sample, extra: 1 }, 'extra: is not known'],
  ['another number', { ...sample, commit: 6 }, 'commit: is 6'],
  ['a fraction', { ...sample, epoch: 1.5 }, 'epoch: is not a whole number'],
  ['a false barrier', { ...sample, barrier: false }, 'barrier: is false'],
  ['null', { ...sample, entries: null }, 'entries: is not an array'],
  [
    'an unknown kind of entry',
    { ...sample, entries: [changes, { kind: 'merge', table_id: '7' }] },
    'entries[1].kind: "merge" is not known',
  ],
  [
    'a sequence that is a number',
    { ...sample, entries: [{ ...changes, min_sequence: 3 }] },
    'entries[0].min_sequence: is not a text',
  ],
  [
    'a negative sequence',
    { ...sample, entries: [{ ...changes, min_sequence: '-3' }] },
    'entries[0].min_sequence: is negative',
  ],
  [
    'a file of another table',
    { ...sample, entries: [{ ...changes, table_id: '8' }] },
    'entries[0].file.path: "tables/7/',
  ],
  [
    'a path that leads out of the volume',
    { ...sample, entries: [{ ...changes, file: { ...file, path: '../../etc/passwd' } }] },
    'entries[0].file.path: "../../etc/passwd"',
  ],
  [
    'a table id that leads out of the volume',
    { ...sample, entries: [{ kind: 'gap', table_id: '../x', reason: '' }] },
    'entries[0].table_id: is not a table id',
  ],
  [
    'an unknown statistic',
    {
      ...sample,
      entries: [{ ...changes, file: { ...file, statistics: { rowCount: 1, columns: [{}] } } }],
    },
    'entries[0].file.statistics.columns[0].name: is missing',
  ],
])('a manifest with %s is refused by file and field', (_, value, problem) => {
  const found = codeOf(() => decodeManifest(encodeSealedJson(value), 5, 'file:///v'))
  expect(found).toContain(path)
  expect(found).toContain(problem)
})

test('the base of a purged log reads back, and refuses entries that name files', () => {
  const base: LogBase = {
    first: 9,
    last_sequence: '77',
    tables: [
      { table_id: '7', last_commit: 8, entries: [{ kind: 'gap', table_id: '7', reason: 'x' }] },
    ],
  }
  expect(decodeLogBase(encodeLogBase(base), '')).toEqual(base)
  const bad = encodeSealedJson({
    format: 1,
    first: 1,
    tables: [{ table_id: '7', last_commit: 0, entries: [changes] }],
  })
  expect(codeOf(() => decodeLogBase(bad, ''))).toContain('tables[0].entries[0].kind: "changes"')
})
