/** The bytes of a checkpoint: what a process of another version finds. */
import { expect, test } from 'vitest'
import { changesEntry, tell } from '../../test/support/staging-fixtures.ts'
import { checkpointFormat, decodeCheckpoint, encodeCheckpoint } from './checkpoint-codec.ts'
import { CheckpointFold } from './checkpoint.ts'
import type { LogBase } from './log-base.ts'
import type { Manifest, ManifestEntry } from './manifest.ts'

const named = (id: string): ManifestEntry => {
  const name = { source_schema: 'public', source_table: `t${id}`, schema_version: 0 }
  return { kind: 'table', table_id: id, source_catalog: 'db', ...name }
}
const started = (id: string, copy: number): ManifestEntry => {
  const begun = { snapshot_id: copy, schema_version: 0, point: `p${copy}`, chunk_count: 2 }
  return { kind: 'snapshot_started', table_id: id, ...begun }
}
const chunk = (id: string, number: number): ManifestEntry => ({
  kind: 'snapshot_chunk',
  table_id: id,
  snapshot_id: 3,
  schema_version: 0,
  chunk: number,
  files: [{ path: `tables/${id}/snapshot/3/${number}-2.parquet`, rows: 4, bytes: 9, crc32: 1 }],
  range: `(${number},`,
})

const base: LogBase = {
  first: 5,
  last_sequence: '40',
  incarnation: 'i',
  tables: [
    {
      table_id: '1',
      last_commit: 4,
      entries: [
        named('1') as Extract<ManifestEntry, { kind: 'table' }>,
        started('1', 0) as Extract<ManifestEntry, { kind: 'snapshot_started' }>,
        { kind: 'snapshot_finished', table_id: '1', snapshot_id: 0, rows: 7 },
      ],
    },
  ],
}

const contents: ManifestEntry[][] = [
  [
    named('2'),
    started('2', 3),
    changesEntry('1', 41, {
      path: 'tables/1/changes/00000000000000000041-2-0.parquet',
      rows: 3,
      bytes: 9,
      crc32: 1,
    }),
  ],
  [
    chunk('2', 0),
    {
      kind: 'schema_change',
      table_id: '1',
      snapshot_id: 0,
      schema_version: 1,
      sequence: '42',
      ordinal: 7,
    },
  ],
  [{ kind: 'gap', table_id: '1', reason: 'why', gone: true }],
]

const log = contents.map((entries, n): Manifest => {
  const head = { format: 1, commit: 5 + n, epoch: 2, writer: 'w', created_at_ms: n } as const
  const places = { incarnation: 'i', position_before: `${n}`, position_after: `${n + 1}` }
  const times = { min_commit_time_us: `${n}000`, max_commit_time_us: `${n}500` }
  const range = { first_sequence: `${41 + n}`, last_sequence: `${41 + n}`, ...times }
  return { ...head, ...places, ...range, ...(n === 1 ? { barrier: true as const } : {}), entries }
})

/** Who changes any of this, or what a reader makes of a log, raises `checkpointFormat`. */
test('is what docs/staging-format.md says, and is not changed without another format', () => {
  const fold = tell(new CheckpointFold(), base, log)
  const checkpoint = fold.checkpoint(log[2] as Manifest, 99)
  const bytes = encodeCheckpoint(checkpoint)
  expect(checkpointFormat).toBe(1)
  expect(JSON.parse(Buffer.from(bytes).toString())).toMatchInlineSnapshot(`
    {
      "commit": 7,
      "crc32": "00111d30",
      "files": {
        "copies": [
          {
            "paths": [
              "tables/2/snapshot/3/0-2.parquet",
            ],
            "snapshot_id": 3,
            "table_id": "2",
          },
        ],
        "greatest_sequence": "43",
      },
      "format": 1,
      "incarnation": "i",
      "recovered": {
        "last_sequence": "43",
        "newest_commit_time_us": "2500",
        "place": {
          "position": "3",
        },
        "tables": [
          {
            "chunk_count": 2,
            "chunks": [],
            "first_chunk": 0,
            "has_gap": true,
            "is_finished": true,
            "is_gone": true,
            "name": "public.t1",
            "points": [
              "p0",
            ],
            "rows": 0,
            "schema_version": 1,
            "started": {
              "chunk_count": 2,
              "kind": "snapshot_started",
              "point": "p0",
              "schema_version": 0,
              "snapshot_id": 0,
              "table_id": "1",
            },
            "table_id": "1",
          },
          {
            "chunk_count": 2,
            "chunks": [
              {
                "chunk": 0,
                "point": 0,
                "range": "(0,",
              },
            ],
            "first_chunk": 0,
            "name": "public.t2",
            "points": [
              "p3",
            ],
            "rows": 4,
            "schema_version": 0,
            "started": {
              "chunk_count": 2,
              "kind": "snapshot_started",
              "point": "p3",
              "schema_version": 0,
              "snapshot_id": 3,
              "table_id": "2",
            },
            "table_id": "2",
          },
        ],
      },
      "seal": 99,
      "staged": {
        "barriers": [
          {
            "commit": 6,
            "position": "2",
          },
        ],
        "last_sequence": "43",
        "position": "3",
        "tables": [
          {
            "copies": [
              {
                "finished_at": -1,
                "forgotten_up_to": 5,
                "is_void": true,
                "place": {
                  "created_at_ms": 0,
                  "last_sequence": "40",
                },
                "started": {
                  "chunk_count": 2,
                  "kind": "snapshot_started",
                  "point": "p0",
                  "schema_version": 0,
                  "snapshot_id": 0,
                  "table_id": "1",
                },
                "steps": [
                  {
                    "commit": 6,
                    "entry": {
                      "kind": "schema_change",
                      "ordinal": 7,
                      "schema_version": 1,
                      "sequence": "42",
                      "snapshot_id": 0,
                      "table_id": "1",
                    },
                    "times": {
                      "max": "1500",
                      "min": "1000",
                    },
                  },
                ],
                "void_at": 7,
              },
            ],
            "gap": {
              "commit": 7,
              "entry": {
                "gone": true,
                "kind": "gap",
                "reason": "why",
                "table_id": "1",
              },
            },
            "is_gone": true,
            "named_at": -1,
            "source_catalog": "db",
            "source_schema": "public",
            "source_table": "t1",
            "table_id": "1",
          },
          {
            "copies": [
              {
                "forgotten_up_to": 7,
                "place": {
                  "created_at_ms": 0,
                  "last_sequence": "41",
                },
                "started": {
                  "chunk_count": 2,
                  "kind": "snapshot_started",
                  "point": "p3",
                  "schema_version": 0,
                  "snapshot_id": 3,
                  "table_id": "2",
                },
                "started_at": 5,
                "steps": [],
              },
            ],
            "named_at": 5,
            "source_catalog": "db",
            "source_schema": "public",
            "source_table": "t2",
            "table_id": "2",
          },
        ],
      },
      "work": [
        {
          "at_ms": "0",
          "commit": 5,
          "table_id": "1",
        },
      ],
    }
  `)
  expect(decodeCheckpoint(bytes)).toEqual(checkpoint)
})
