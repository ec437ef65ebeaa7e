/** A physical standby of an embedded server: a copy of its folder that follows it. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { serverFolder, unprivileged } from '../../src/quickstart/server-programs.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'

export interface StandbyOptions {
  /** Of its physical slot on the primary, and its application_name. */
  readonly name: string
  /** Major version of both servers; that of the lane when left out. */
  readonly version?: number
  readonly settings?: Readonly<Record<string, string>>
}

export interface Standby extends EmbeddedPostgres {
  /** Ends recovery; the standby is a primary of the next timeline when it resolves. */
  promote(): Promise<void>
  /** Resolves when everything that the primary has written by now is replayed. */
  catchUp(): Promise<void>
}

/** The primary is down for a moment meanwhile. */
export async function startStandby(
  primary: EmbeddedPostgres,
  options: StandbyOptions,
): Promise<Standby> {
  const { name, version, settings = {} } = options
  await primary.sql(`select pg_create_physical_replication_slot('${name}', true)`)
  await primary.shutdown()
  const folder = mkdtempSync(join(serverFolder(), 'sluice-standby-'))
  const data = join(folder, 'data')
  cpSync(join(primary.folder, 'data'), data, { recursive: true })
  const slots = join(data, 'pg_replslot')
  for (const slot of readdirSync(slots)) rmSync(join(slots, slot), { recursive: true })
  writeFileSync(join(data, 'standby.signal'), '')
  mkdirSync(slots, { recursive: true })
  chmodSync(folder, 0o755)
  chmodSync(data, 0o700)
  const { uid, gid } = unprivileged()
  if (uid !== undefined) execFileSync('chown', ['-R', `${uid}:${gid}`, data])
  await primary.start()
  const place = `host=127.0.0.1 port=${primary.port} user=postgres password=${primary.password}`
  const standby = await startEmbeddedPostgres({
    folder,
    password: primary.password,
    ...(version === undefined ? {} : { version }),
    settings: {
      primary_conninfo: `${place} dbname=postgres application_name=${name}`,
      primary_slot_name: name,
      hot_standby_feedback: 'on',
      wal_receiver_status_interval: '1',
      ...settings,
    },
  }).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true })
    throw error
  })
  const isTrue = async (sql: string): Promise<boolean> =>
    (await standby.sql(`select (${sql}) as answer`))[0]?.['answer'] === true
  return {
    ...standby,
    promote: async () => {
      if (!(await isTrue('pg_promote(true, 60)'))) throw new Error('the standby was not promoted')
    },
    catchUp: async () => {
      const [row] = await primary.sql('select pg_current_wal_flush_lsn()::text as lsn')
      while (!(await isTrue(`pg_last_wal_replay_lsn() >= '${String(row?.['lsn'])}'`)));
    },
    stop: async () => {
      await standby.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
