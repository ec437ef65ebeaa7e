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
import { parseMoneyFormat } from '../src/source/postgres/cell-money.ts'
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
      `**What to do:** ${remedy.replaceAll('\n', '\n- ')}`,
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

/** As in the locale C. */
const dollars = parseMoneyFormat('$12,345,678,901.00', '-$12,345,678,901.00', 2)

/** One example of everything that is mapped differently, with what a reader wants to know. */
const postgresTypes: readonly (readonly [string, PostgresColumnType, string])[] = [
  ['boolean', base(typeOid.bool), ''],
  ['smallint', base(typeOid.int2), ''],
  ['integer', base(typeOid.int4), ''],
  ['bigint', base(typeOid.int8), ''],
  ['real', base(typeOid.float4), 'NaN, ±Infinity and -0 are kept'],
  ['double precision', base(typeOid.float8), 'NaN, ±Infinity and -0 are kept'],
  ['numeric(12,2)', base(typeOid.numeric, numericModifier(12, 2)), 'NaN does not fit'],
  ['numeric(38,38)', base(typeOid.numeric, numericModifier(38, 38)), 'NaN does not fit'],
  ['numeric(39,0)', base(typeOid.numeric, numericModifier(39, 0)), 'more than 38 digits'],
  ['numeric(5,-2)', base(typeOid.numeric, numericModifier(5, -2)), 'negative scale'],
  ['numeric(2,5)', base(typeOid.numeric, numericModifier(2, 5)), 'scale larger than precision'],
  ['numeric', base(typeOid.numeric), 'no precision: any number of digits, NaN, ±Infinity'],
  ['text, varchar, varchar(n)', base(typeOid.text), ''],
  ['char(n)', base(typeOid.bpchar), 'padded with blanks to n characters, as PostgreSQL stores it'],
  ['name, "char"', base(typeOid.name), ''],
  ['bytea', base(typeOid.bytea), ''],
  ['date', base(typeOid.date), '±infinity and years outside 0001–9999 do not fit'],
  ['timestamp', base(typeOid.timestamp), '±infinity and years outside 0001–9999 do not fit'],
  [
    'timestamp with time zone',
    base(typeOid.timestamptz),
    '±infinity and years outside 0001–9999 (UTC) do not fit',
  ],
  ['oid, xid, cid', base(typeOid.oid), 'unsigned 32 bits'],
  ['xid8', base(typeOid.xid8), 'unsigned 64 bits'],
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
    'arrays',
    unlisted('b'),
    'text, with lower bounds and dimensions as they are: `{1,NULL}`, `[0:1]={…}`, `{"NULL",""}`',
  ],
  ['time, timetz', unlisted('b'), 'text: a day has a 24:00:00, and an offset of its own'],
  ['interval', unlisted('b'), 'text in the style `postgres`: `1 year 2 mons 3 days 04:05:06`'],
  [
    'money',
    { ...base(typeOid.money), ...(dollars === undefined ? {} : { money: dollars }) },
    'the scale is that of lc_monetary as the role of the connection has it (`ja_JP`: `decimal(19,0)`): amounts of a session with another scale are other amounts in PostgreSQL too. Another lc_monetary later: text that is spelled otherwise stops with `SOURCE_VALUE_MALFORMED`, and after a restart the table is copied anew. In arrays, composites and domains, and in a locale whose texts do not tell the sign: text as lc_monetary prints it',
  ],
  [
    'PostGIS: geometry, geography',
    unlisted('b'),
    'hexadecimal EWKB, as PostgreSQL prints it: reference system, Z and M, empty ones and curves are all in it',
  ],
  ['pgvector: vector, halfvec, sparsevec', unlisted('b'), 'text: `[1,2.5,-3]`, `{1:1.5,3:-2}/5`'],
  [
    'hstore, citext, ltree, cube, isn, seg, intarray, and every other type of an extension',
    unlisted('b'),
    'text; a domain of an extension (`lo`) is as its base type',
  ],
  [
    'regclass, regtype, regproc and the other names of objects',
    unlisted('b'),
    'text: the name at the time of the change, as the log has no other. A rename of the object later is no change of the row. Not in a key: refused, with the statement that makes it an `oid`',
  ],
  [
    'everything else',
    unlisted('b'),
    'text: bit, varbit, inet, cidr, macaddr, xml, tsvector, geometric types, pg_lsn, jsonpath, …',
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

/** Both are run by `test/e2e/array-queries.pg.test.ts`. */
const arrayQueries = [
  '-- numbers, also of several dimensions (INTEGER[][]); lower bounds are cut off\n' +
    "SELECT translate(regexp_replace(sizes, '^\\[[^=]*=', ''), '{}', '[]')::INTEGER[] AS sizes FROM shop.parts;",
  '-- texts, one dimension: unquoted NULL is NULL, and a backslash keeps the character behind it\n' +
    String.raw`SELECT list_transform(regexp_extract_all(tags, '(?s)"(?:[^"\\]|\\.)*"|[^,{}]+'),
  lambda x: CASE WHEN x = 'NULL' THEN NULL
    WHEN x[1] = '"' THEN regexp_replace(x[2:-2], '(?s)\\(.)', '\1', 'g') ELSE x END) AS tags FROM shop.parts;`,
  '-- vectors of pgvector\nSELECT embedding::FLOAT[] AS embedding FROM shop.parts;',
]

const arraysSection = [
  '### Arrays and vectors in queries',
  'Arrays arrive as text, whatever their elements are: in PostgreSQL the number of dimensions and the ' +
    'lower bounds are those of each value, not of the column, and `array<T>` of Delta has neither. In ' +
    '`sluice query` (DuckDB), texts become lists like this:',
  `\`\`\`sql\n${arrayQueries.join('\n\n')}\n\`\`\``,
]

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
      'counterpart. They are staged as NULL with the text of the source beside it (`_unfit` in ' +
      '[staging-format.md](staging-format.md)), and each pipeline decides by `sluice.unfitValues` in ' +
      'its `configuration`:',
    table(
      ['value', 'what becomes of such a cell'],
      [
        [
          'fail (default)',
          'the table stops before it with `DESTINATION_VALUE_UNFIT`, which names columns and counts; other tables go on. With another value the table goes on from there',
        ],
        ['null', 'NULL'],
        [
          'clamp',
          'the first or the last value that the type holds (`0001-01-01`, `9999-12-31 23:59:59.999999`); NaN has no neighbour and becomes NULL',
        ],
        [
          'string',
          'in all tables of the pipeline every column that may have such values (date, timestamps, decimals, arrays) is a string, with the text that PostgreSQL prints; tables that have one are loaded anew',
        ],
        [
          'quarantine',
          'the row is not in the destination until a version of it fits that brings all its cells. One row per such cell goes to the Delta table `<table>__quarantine` beside it: key (JSON), column, text, op, sequence, ordinal, commit_time, reason. A later version that keeps cells of a row in quarantine (unchanged TOAST: PostgreSQL does not log a large value that an update leaves alone) goes there too, also when it would fit. After such a row was corrected in the source, `sluice refresh TABLE --full` brings it; `verify` names such rows as held back',
        ],
      ],
    ),
    'The setting holds for a whole pipeline: of one table alone it can not be said, unless that table has a pipeline of its own. Those columns are nullable in the destination even where the source says NOT NULL. `sluice status` names the tables ' +
      'with rows in quarantine, how many, and what to do. From `fail` to `null`, `clamp` or `quarantine` ' +
      'tables go on from where they stand; any other change of the setting, and `string`, loads every table that has such columns anew from its staged copy: the rows that were held back are in ' +
      'it then, and the quarantine is emptied; where staging was purged since, the ' +
      'table stops with `PIPELINE_STAGING_PURGED` and the refresh to run. `verify` compares with what ' +
      'the policy makes of each value. In a history (SCD type 2, append-only) a version in quarantine ' +
      'ends the row as a delete does.',
    'In a key NULL or the nearest value would mix rows up: with `null` and `clamp` such a key stops ' +
      'the table with `DESTINATION_KEY_UNFIT`; with `string` the key is a text, with `quarantine` the ' +
      'row stays away.',
    ...arraysSection,
    '### Generated columns',
    'From PostgreSQL 18 on, stored generated columns are captured as columns of their type, in copies ' +
      'and from the log: publications that Sluice makes have `publish_generated_columns = stored`. A ' +
      'publication that somebody else made decides for itself; without that option they are left out of ' +
      'both. Virtual ones, and all of a server before 18, are in no copy and no change: they can be ' +
      'computed from the others. `sluice check` names what is left out. Identity columns are ordinary ones.',
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
