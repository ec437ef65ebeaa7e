/**
 * Writes the pages of `docs/` that are made from the code: error codes, type mappings, settings. Run
 * `node scripts/generate-docs.ts` after a change of any; a test compares the pages with this.
 */
import { writeFileSync } from 'node:fs'
import { argv } from 'node:process'
import { pathToFileURL } from 'node:url'
import { errorTable } from '../src/base/error-codes.ts'
import type { ErrorDefinition } from '../src/base/errors.ts'
import { pipelineSettings, type PipelineSetting } from '../src/catalog/pipeline-settings.ts'
import type { CanonicalType } from '../src/columnar/canonical-type.ts'
import { mapPostgresType, typeOid, type PostgresColumnType } from '../src/source/postgres/types.ts'

export interface GeneratedPage {
  /** Relative to the repository. */
  readonly path: string
  readonly text: string
}

const notice = '<!-- Made by scripts/generate-docs.ts from the code; do not edit. -->'

/** Cells as a Markdown table. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

const retryWords: Readonly<Record<ErrorDefinition['retry'], string>> = {
  backoff: 'tried again by itself, with growing pauses',
  'after-remedy': 'waits for a person',
  never: 'not tried again',
}

function errorsPage(): string {
  const codes = Object.entries<ErrorDefinition>(errorTable).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const sections = codes.map(([code, { when, remedy, retry, exitCode }]) =>
    [
      `## ${code}`,
      `${when}`,
      `**What to do:** ${remedy}`,
      `Retry: ${retryWords[retry]}. Exit code of a command that ends with it: ${exitCode}.`,
    ].join('\n\n'),
  )
  const intro =
    'Every error has one of these codes. They do not change their meaning; messages may change ' +
    'their wording. A message names the value that was met, never a secret or the content of a row.'
  return [notice, '# Error codes', intro, ...sections, ''].join('\n\n')
}

/** `numeric(p,s)` as the catalog keeps it. */
function numericModifier(precision: number, scale: number): number {
  return ((precision << 16) | (scale & 0x7ff)) + 4
}

function base(oid: number, typmod = -1): PostgresColumnType {
  return { typeOid: oid, typmod, typtype: 'b' }
}

const unlisted = (typtype: string): PostgresColumnType => ({ typeOid: 0, typmod: -1, typtype })

/** One example of everything that is mapped differently, with what a reader wants to know. */
const postgresTypes: readonly (readonly [string, PostgresColumnType, string])[] = [
  ['boolean', base(typeOid.bool), ''],
  ['smallint', base(typeOid.int2), ''],
  ['integer', base(typeOid.int4), ''],
  ['bigint', base(typeOid.int8), ''],
  ['real', base(typeOid.float4), 'NaN, ±Infinity and -0 are kept'],
  ['double precision', base(typeOid.float8), 'NaN, ±Infinity and -0 are kept'],
  ['numeric(12,2)', base(typeOid.numeric, numericModifier(12, 2)), 'NaN becomes NULL'],
  ['numeric(38,38)', base(typeOid.numeric, numericModifier(38, 38)), 'NaN becomes NULL'],
  ['numeric(39,0)', base(typeOid.numeric, numericModifier(39, 0)), 'more than 38 digits'],
  ['numeric(5,-2)', base(typeOid.numeric, numericModifier(5, -2)), 'negative scale'],
  ['numeric(2,5)', base(typeOid.numeric, numericModifier(2, 5)), 'scale larger than precision'],
  ['numeric', base(typeOid.numeric), 'no precision: any number of digits, NaN, ±Infinity'],
  ['text, varchar, varchar(n)', base(typeOid.text), ''],
  ['char(n)', base(typeOid.bpchar), 'padded with blanks to n characters, as PostgreSQL stores it'],
  ['name, "char"', base(typeOid.name), ''],
  ['bytea', base(typeOid.bytea), ''],
  ['date', base(typeOid.date), '±infinity and years outside 0001–9999 become NULL'],
  ['timestamp', base(typeOid.timestamp), '±infinity and years outside 0001–9999 become NULL'],
  [
    'timestamp with time zone',
    base(typeOid.timestamptz),
    '±infinity and years outside 0001–9999 (UTC) become NULL',
  ],
  ['uuid', base(typeOid.uuid), 'text'],
  ['json, jsonb', base(typeOid.jsonb), 'the text as PostgreSQL prints it; never parsed'],
  ['enum', unlisted('e'), 'the label'],
  [
    'domain over numeric(12,2)',
    { ...unlisted('d'), baseTypeOid: typeOid.numeric, baseTypmod: numericModifier(12, 2) },
    'as its base type',
  ],
  ['composite', unlisted('c'), 'text'],
  ['range, multirange', unlisted('r'), 'text'],
  [
    'everything else',
    unlisted('b'),
    'text: arrays, time, interval (`1 year 2 mons 3 days 04:05:06`), money, inet, bit, xml, geometric types, types of extensions, …',
  ],
]

/** The type's name in a Delta table. */
function deltaName(type: CanonicalType): string {
  const names: Readonly<Record<string, string>> = {
    int8: 'byte',
    int16: 'short',
    int32: 'integer',
    int64: 'long',
    float32: 'float',
    float64: 'double',
  }
  if (type.kind === 'decimal') return `decimal(${type.precision},${type.scale})`
  if (type.kind === 'array') return `array<${deltaName(type.element)}>`
  return names[type.kind] ?? type.kind
}

function typeMappingPage(): string {
  const rows = postgresTypes.map(([name, column, remark]) => {
    const { type, mayBecomeNull } = mapPostgresType(column)
    return [name, deltaName(type), mayBecomeNull ? 'yes' : '', remark]
  })
  return [
    notice,
    '# Type mapping',
    '## PostgreSQL',
    table(['PostgreSQL', 'Delta', 'always nullable', 'remarks'], rows),
    'A value arrives as the same bytes whether it was copied with the first snapshot or followed ' +
      'from the log. No type is refused: what has no counterpart arrives as the text that ' +
      'PostgreSQL prints.',
    '### Values that no Delta type can hold',
    'Infinite dates and timestamps, years outside 0001–9999 and NaN in a `numeric(p,s)` have no ' +
      'counterpart. Such a cell becomes NULL; the cells are counted for each column, and the first ' +
      'one of a column is logged as a warning. That is why those columns are nullable in the ' +
      'destination even where the source says NOT NULL. To keep such values, give the column ' +
      'the type `text` in the source.',
    'In a key column NULL would lose the row, so there it is an error of that table: the snapshot ' +
      'ends with `SOURCE_VALUE_UNREPRESENTABLE`, and the stream records a gap of the table. Other ' +
      'tables go on.',
    '',
  ].join('\n\n')
}

function settingsPage(): string {
  const all: readonly PipelineSetting<unknown>[] = Object.values(pipelineSettings)
  const section = (on: PipelineSetting<unknown>['on'], title: string): string[] => {
    const rows = all
      .filter((setting) => setting.on === on)
      .map(({ key, summary, initial, kind }) => [`\`${key}\``, summary, kind.wanted, initial])
    return rows.length === 0
      ? []
      : [title, table(['key', 'what for', 'value', 'when left out'], rows)]
  }
  return [
    notice,
    '# Settings',
    'Keys of the `configuration` map of a gateway or an ingestion pipeline. All may be left out.',
    ...section('gateway', '## Of a gateway'),
    ...section('pipeline', '## Of an ingestion pipeline'),
    '',
  ].join('\n\n')
}

export function generatedPages(): readonly GeneratedPage[] {
  return [
    { path: 'docs/errors.md', text: errorsPage() },
    { path: 'docs/type-mapping.md', text: typeMappingPage() },
    { path: 'docs/settings.md', text: settingsPage() },
  ]
}

if (import.meta.url === pathToFileURL(argv[1] ?? '').href) {
  for (const { path, text } of generatedPages()) {
    writeFileSync(new URL(`../${path}`, import.meta.url), text)
  }
}
