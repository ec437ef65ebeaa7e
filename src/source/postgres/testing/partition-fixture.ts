/** What the tests of partitioned tables share: a table of two partitions, a source, a stream. */
import type { SourceState } from '../../source.ts'
import type { SourceTable } from '../../table-schema.ts'
import type { PostgresSource } from '../postgres-source.ts'
import type { PostgresSourceOptions } from '../postgres-source-options.ts'
import {
  type RunningStream,
  sourceOf,
  startStream,
  tableNamed,
  type TestServer,
} from './postgres-fixture.ts'
import { RecordingSnapshotSink } from './recording-sink.ts'

export interface PartitionServer extends TestServer {
  sql(text: string): Promise<unknown>
}

export interface PartitionScene {
  readonly name: string
  readonly source: PostgresSource
  readonly table: SourceTable
  readonly state: SourceState
  readonly sql: (text: string) => Promise<unknown>
  readonly end: () => Promise<void>
}

let count = 0

/** Table `$` with partitions `$_1` (ids below 100) and `$_2` (below 200); `$` is its name in SQL. */
export async function partitionScene(
  server: PartitionServer,
  more: Partial<PostgresSourceOptions> = {},
  setup = '',
): Promise<PartitionScene> {
  const name = `part${++count}`
  const sql = async (text: string): Promise<unknown> => await server.sql(text.replaceAll('$', name))
  await sql(`create table $ (id int primary key, t text) partition by range (id);
    create table $_1 partition of $ for values from (0) to (100);
    create table $_2 partition of $ for values from (100) to (200); ${setup}`)
  const source = sourceOf(server, { name, watchIntervalMs: 20, ...more })
  const table = await tableNamed(source, name)
  const state = await source.prepare([table], undefined)
  const end = async (): Promise<void> => {
    await source.dispose()
    await source.close()
  }
  return { name, source, table, state, sql, end }
}

export function stream(
  { source, state, table }: PartitionScene,
  from: SourceState = state,
): RunningStream {
  return startStream({ source, state: from, tables: [table] })
}

/** What the stream has brought, one text for each row, truncate and gap. */
export async function eventsOf(scene: PartitionScene, running: RunningStream): Promise<string[]> {
  await running.reach(await scene.source.currentPosition())
  return running.sink.transactions.flatMap(({ rows, truncated }) => [
    ...rows.map(({ op, cells }) => `${op} ${cells.map((cell) => cell ?? '-').join(' ')}`),
    ...truncated.map(() => 'truncate'),
  ])
}

/**
 * Looks that the rows caused are over, and the stream has passed their places in the log: what the
 * source remembers of the partitions stays as it is. A stop before that may cost a copy.
 */
export async function settled(scene: PartitionScene, running: RunningStream): Promise<void> {
  const { source, state } = scene
  let last = ''
  let same = 0
  for (let look = 0; look < 300 && same < 10; look++) {
    await eventsOf(scene, running)
    const now = source.remember?.(state.incarnation) ?? ''
    same = now === last ? same + 1 : 0
    last = now
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export async function copyOf({ source, table }: PartitionScene): Promise<string[]> {
  const snapshot = await source.beginSnapshot(table, { delivered: [] })
  const sink = new RecordingSnapshotSink(table)
  for (const chunk of snapshot.chunks)
    await snapshot.readChunk(chunk, sink, new AbortController().signal)
  await snapshot.close()
  return sink
    .rows()
    .map(({ cells }) => cells.join(' '))
    .toSorted()
}
