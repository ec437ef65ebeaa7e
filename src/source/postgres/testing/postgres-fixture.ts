/** What the tests against a real server share: a source, a running stream, a saved state. */
import { EventEmitter, once } from 'node:events'
import { systemClock } from '../../../base/clock.ts'
import { noFailpoints } from '../../../base/failpoint.ts'
import { type Log, silentLog } from '../../../observe/log.ts'
import type { Position, SourceState, StreamEnd, TableSnapshot } from '../../source.ts'
import type { SourceTable } from '../../table-schema.ts'
import { fromPosition, toPosition } from '../position.ts'
import { createPostgresSource, type PostgresSource } from '../postgres-source.ts'
import type { PostgresSourceOptions } from '../postgres-source-options.ts'
import { type RecordedRow, RecordingSink, RecordingSnapshotSink } from './recording-sink.ts'

export interface TestServer {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

export function connectionOptions(
  server: TestServer,
  more: Record<string, string> = {},
): Record<string, string> {
  return {
    host: server.host,
    port: String(server.port),
    database: 'postgres',
    user: server.user,
    password: server.password,
    sslmode: 'disable',
    ...more,
  }
}

export interface SourceSettings extends Partial<PostgresSourceOptions> {
  readonly connection?: Record<string, string>
  readonly name: string
  readonly log?: Log
}

/** Slot `name`, publication `name`. */
export function sourceOf(server: TestServer, settings: SourceSettings): PostgresSource {
  const { connection, name, ...rest } = settings
  return createPostgresSource({
    options: connectionOptions(server, connection),
    slotName: name,
    publicationName: name,
    log: silentLog,
    clock: systemClock,
    failpoints: noFailpoints,
    ...rest,
  })
}

/** The position without what it knows of the log before it. */
export function placeOf(position: Position | undefined): Position | undefined {
  return position === undefined ? undefined : toPosition(fromPosition(position))
}

export async function tableNamed(source: PostgresSource, name: string): Promise<SourceTable> {
  const tables = await source.discoverTables(['public'])
  const table = tables.find((candidate) => candidate.name.table === name)
  if (table === undefined) throw new Error(`no table ${name}`)
  return table
}

/** All rows of a copy, which is over then. */
export async function copiedRows(
  snapshot: TableSnapshot,
  table: SourceTable,
): Promise<readonly RecordedRow[]> {
  const sink = new RecordingSnapshotSink(table)
  const { signal } = new AbortController()
  for (const chunk of snapshot.chunks) await snapshot.readChunk(chunk, sink, signal)
  await snapshot.close()
  return sink.rows()
}

export interface RunningStream {
  readonly sink: RecordingSink
  /** Everything before it was delivered: of the last commit or heartbeat, where a stream goes on. */
  readonly reached: Position
  /** Settles when the stream does. */
  readonly ended: Promise<StreamEnd>
  /** Resolves when everything before `position` was delivered. */
  reach(position: Position): Promise<void>
  /** Resolves when `condition` holds; looked at after every call of the sink. */
  until(condition: () => boolean): Promise<void>
  /** Aborts and waits for the end. */
  stop(): Promise<void>
}

export interface StreamSettings {
  readonly source: PostgresSource
  readonly state: Pick<SourceState, 'position'>
  readonly tables: readonly SourceTable[]
  readonly sink?: RecordingSink
}

/** Streams until stopped. */
export function startStream(settings: StreamSettings): RunningStream {
  const { source, state, tables, sink = new RecordingSink() } = settings
  const events = new EventEmitter()
  events.setMaxListeners(0)
  const controller = new AbortController()
  let reached = state.position
  sink.onPosition = (position) => {
    reached = position
    events.emit('change')
  }
  sink.onEvent = () => events.emit('change')
  const ended = source.streamChanges({
    from: state.position,
    tables,
    sink,
    signal: controller.signal,
  })
  // A test that does not look at the end must not fail by it.
  ended.catch(() => undefined)
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await Promise.race([once(events, 'change'), ended])
  }
  return {
    sink,
    get reached() {
      return reached
    },
    ended,
    until,
    reach: async (position) => await until(() => fromPosition(reached) >= fromPosition(position)),
    stop: async () => {
      controller.abort()
      await ended
    },
  }
}
