/** Random staging logs of two tables: what gateways may write, one after the other. */
import fc from 'fast-check'
import { changeFilePath, snapshotFilePath } from '../../src/staging/layout.ts'
import { emptyLogBase, type LogBase } from '../../src/staging/log-base.ts'
import type { Manifest, ManifestEntry, StagedFile } from '../../src/staging/manifest.ts'
import { BaseFold } from '../../src/staging/purge-plan.ts'

const kinds = [
  'start',
  'chunk',
  'chunk',
  'resume',
  'finish',
  'changes',
  'changes',
  'changes',
  'truncate',
  'schema',
  'gap',
  'refresh',
  'gone',
  'rename',
] as const

export const logTables = ['1', '2'] as const

export type LogStep = readonly [
  table: (typeof logTables)[number],
  kind: (typeof kinds)[number],
  /** Tells one of a kind from another. */
  variant: number,
]

/** What else a commit is. */
const moods = ['plain', 'plain', 'plain', 'empty', 'barrier', 'take-over', 'end', 'other'] as const

export interface CommitWish {
  readonly steps: readonly LogStep[]
  readonly mood: (typeof moods)[number]
}

interface Copy {
  id: number
  version: number
  chunk: number
  fileNumber: number
  resumption: number
  /** A copy ends once. */
  isFinished: boolean
}

/** Writes manifests as wished; what does not fit where a table stands is left out. */
export class RandomLog {
  readonly #copies = new Map<string, Copy>()
  #epoch = 1
  #position = ''
  #incarnation = ''
  #commit = 0
  #files = 0

  next({ steps, mood }: CommitWish): Manifest {
    const commit = this.#commit++
    if (mood === 'take-over') this.#epoch++
    if (mood === 'other') this.#incarnation = `incarnation ${commit}`
    const entries = mood === 'empty' ? [] : steps.flatMap((step) => this.#entriesOf(step, commit))
    const before = this.#position
    this.#position = mood === 'end' ? '' : `p${commit}`
    const times = { min_commit_time_us: `${commit}`, max_commit_time_us: `${commit * 2000}` }
    const range = { first_sequence: `${commit}`, last_sequence: `${commit}`, ...times }
    return {
      format: 1,
      commit,
      epoch: this.#epoch,
      writer: `w${this.#epoch}`,
      created_at_ms: commit * 1000,
      incarnation: this.#incarnation,
      position_before: before,
      position_after: this.#position,
      ...(mood === 'empty' ? {} : range),
      ...(mood === 'barrier' ? { barrier: true as const } : {}),
      entries,
    }
  }

  #entriesOf(step: LogStep, commit: number): ManifestEntry[] {
    const [id, kind, variant] = step
    const name: ManifestEntry = {
      kind: 'table',
      table_id: id,
      ...(variant % 2 === 0 ? { source_catalog: 'db' } : {}),
      source_schema: 'public',
      source_table: `t${id}`,
      schema_version: this.#copies.get(id)?.version ?? 0,
    }
    if (kind === 'start') return [name, this.#start(id)]
    const copy = this.#copies.get(id)
    if (copy === undefined) return kind === 'rename' ? [name] : []
    if (kind === 'rename') return [{ ...name, source_table: `renamed${id}` }]
    if (kind === 'finish' && copy.isFinished) return []
    if (kind === 'schema') return this.#changeSchema(copy, name, commit)
    return [this.#entryOf(step, copy, commit)]
  }

  #start(id: string): ManifestEntry {
    const before = this.#copies.get(id)
    const copy = { id: (before?.id ?? -1) + 1, version: before?.version ?? 0 }
    this.#copies.set(id, { ...copy, chunk: 0, fileNumber: 50, resumption: 0, isFinished: false })
    const begun = { snapshot_id: copy.id, schema_version: copy.version, chunk_count: 1 }
    return { kind: 'snapshot_started', table_id: id, ...begun, point: `p${copy.id}` }
  }

  #changeSchema(copy: Copy, name: ManifestEntry, commit: number): ManifestEntry[] {
    copy.version++
    const change = { schema_version: copy.version, sequence: `${commit}`, ordinal: 1 }
    const fill = this.#changeFile(name.table_id, commit)
    const of = { table_id: name.table_id, snapshot_id: copy.id }
    const filled = copy.version % 2 === 0 ? {} : { fill }
    return [
      { ...name, schema_version: copy.version } as ManifestEntry,
      { kind: 'schema_change', ...of, ...change, ...filled },
    ]
  }

  #entryOf([id, kind, variant]: LogStep, copy: Copy, commit: number): ManifestEntry {
    const of = { table_id: id, snapshot_id: copy.id }
    const resumption = copy.resumption === 0 ? {} : { resumption: copy.resumption }
    switch (kind) {
      case 'chunk': {
        const number = copy.chunk++
        // A second file of a chunk has a number beyond those of the chunks.
        const numbers = variant % 3 === 0 ? [number, copy.fileNumber++] : [number]
        const files = numbers.map((chunk) => this.#chunkFile(id, copy.id, chunk))
        const range = variant % 4 === 0 ? {} : { range: `r${number}` }
        const chunk = { schema_version: copy.version, chunk: number, files }
        return { kind: 'snapshot_chunk', ...of, ...chunk, ...range, ...resumption }
      }
      case 'resume': {
        copy.resumption++
        const rest = { first_chunk: copy.chunk, chunk_count: 1, resumption: copy.resumption }
        return { kind: 'snapshot_resumed', ...of, ...rest, point: `r${copy.resumption}` }
      }
      case 'finish':
        copy.isFinished = true
        return { kind: 'snapshot_finished', ...of, rows: 1 }
      case 'changes': {
        const counts = { inserts: 1, updates: 0, deletes: 0, has_absent: false }
        const range = { min_sequence: `${commit}`, max_sequence: `${commit}` }
        const version = { schema_version: copy.version }
        const file = this.#changeFile(id, commit)
        return { kind, ...of, ...version, file, ...counts, ...range, ...resumption }
      }
      case 'truncate':
        return { kind, ...of, sequence: `${commit}`, ordinal: 0, ...resumption }
      case 'refresh':
        return { kind: 'gap', table_id: id, reason: 'asked', full_refresh: true }
      case 'gone':
        return { kind: 'gap', table_id: id, reason: 'why', gone: true }
      default:
        return { kind: 'gap', table_id: id, reason: 'why' }
    }
  }

  #changeFile(tableId: string, commit: number): StagedFile {
    const name = { tableId, firstSequence: BigInt(commit), epoch: this.#epoch }
    return fileAt(changeFilePath({ ...name, number: this.#files++ }))
  }

  #chunkFile(tableId: string, snapshotId: number, chunk: number): StagedFile {
    return fileAt(snapshotFilePath({ tableId, snapshotId, chunk, epoch: this.#epoch }))
  }
}

function fileAt(path: string): StagedFile {
  return { path, rows: 1, bytes: 1, crc32: 0 }
}

const step: fc.Arbitrary<LogStep> = fc.tuple(
  fc.constantFrom(...logTables),
  fc.constantFrom(...kinds),
  fc.nat({ max: 11 }),
)

const begun: CommitWish = {
  steps: [
    ['1', 'start', 0],
    ['1', 'chunk', 0],
    ['1', 'finish', 0],
  ],
  mood: 'plain',
}

/** Manifests from 0 on. */
export const randomLogs: fc.Arbitrary<Manifest[]> = fc
  .array(
    fc.record({
      steps: fc.array(step, { maxLength: 3 }),
      mood: fc.constantFrom(...moods),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((wishes) => {
    const log = new RandomLog()
    return [begun, ...wishes].map((wish) => log.next(wish))
  })

/** What a purge leaves of the manifests before `first`. */
export function baseAt(manifests: readonly Manifest[], first: number): LogBase {
  const fold = new BaseFold(emptyLogBase)
  for (const manifest of manifests.slice(0, first)) fold.take(manifest)
  return first === 0 ? emptyLogBase : fold.baseAt(first)
}
