/** The catalog's file: opening, its version, and its troubles as coded errors. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { shellWord } from '../base/command-text.ts'
import { SluiceError } from '../base/errors.ts'

/** "SLCE"; says that a database file is ours. */
const applicationId = 0x534c4345
export const schemaVersion = 2
const busyTimeoutMs = 10_000

/** One entry per version: the statements that lead to it from the one before. */
const migrations: readonly string[] = [
  `CREATE TABLE connection (name TEXT PRIMARY KEY, record TEXT NOT NULL, password TEXT) STRICT;
   CREATE TABLE gateway (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE pipeline (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE storage_root (catalog TEXT NOT NULL, schema TEXT NOT NULL, record TEXT NOT NULL,
     PRIMARY KEY (catalog, schema)) STRICT;
   CREATE TABLE destination (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE refresh_request (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE pipeline_update (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
     owner TEXT NOT NULL, state TEXT NOT NULL, started_at_ms INTEGER NOT NULL,
     ended_at_ms INTEGER, error_code TEXT, error_message TEXT) STRICT;
   CREATE INDEX pipeline_update_owner ON pipeline_update (owner, number);
   CREATE TABLE event (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, owner TEXT NOT NULL,
     level TEXT NOT NULL, table_name TEXT, message TEXT NOT NULL, code TEXT) STRICT;
   CREATE INDEX event_owner ON event (owner, number);
   CREATE TABLE live_status (owner TEXT PRIMARY KEY, process_id INTEGER NOT NULL,
     at_ms INTEGER NOT NULL, json TEXT NOT NULL) STRICT;`,
  `CREATE TABLE withdrawn_pipeline (id TEXT PRIMARY KEY) STRICT;
   CREATE TABLE release (pipeline TEXT NOT NULL, name TEXT NOT NULL,
     PRIMARY KEY (pipeline, name)) STRICT;`,
]

export type Row = Record<string, SQLOutputValue>

export interface SqliteDatabase {
  run(sql: string, ...values: (string | number | null)[]): void
  all(sql: string, ...values: (string | number | null)[]): readonly Row[]
  /** Everything in `work` or nothing. */
  transaction<T>(work: () => T): T
  close(): void
}

/** Throws CATALOG_NOT_FOUND (only without `create`), CATALOG_DAMAGED, CATALOG_TOO_NEW, CATALOG_BUSY. */
export function openSqliteDatabase(file: string, options: { create: boolean }): SqliteDatabase {
  if (!existsSync(file)) {
    if (!options.create) {
      throw new SluiceError('CATALOG_NOT_FOUND', `there is no catalog at ${file}`)
    }
    makeFolder(dirname(file))
  }
  const database = guarded(file, () => new DatabaseSync(file, { timeout: busyTimeoutMs }))
  try {
    guarded(file, () => prepare(database, file))
  } catch (error) {
    database.close()
    throw error
  }
  return createAccess(database, file)
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true })
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new SluiceError('CATALOG_UNUSABLE', `the folder ${folder} cannot be made: ${reason}`, {
      cause: error,
      remedy: 'Give another data folder with --data, or the right to make this one.',
    })
  }
}

function prepare(database: DatabaseSync, file: string): void {
  // The first statement reads the header: a file of another kind fails here, before any write.
  const version = pragma(database, 'user_version')
  const application = pragma(database, 'application_id')
  if (version > schemaVersion && application === applicationId) {
    throw new SluiceError(
      'CATALOG_TOO_NEW',
      `${file} has version ${version}; this program knows versions up to ${schemaVersion}`,
    )
  }
  const isEmpty = database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined
  if (!isEmpty && application !== applicationId) {
    throw damaged(file, 'it is a database of another program')
  }
  const check = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (check !== 'ok') throw damaged(file, 'the check of its pages fails')
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
  if (version < schemaVersion) migrate(database)
}

function migrate(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    // Another process may have done it while we waited for the lock.
    const version = pragma(database, 'user_version')
    for (const statements of migrations.slice(version)) database.exec(statements)
    database.exec(
      `PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`,
    )
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0)
}

function createAccess(database: DatabaseSync, file: string): SqliteDatabase {
  const statements = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    let prepared = statements.get(sql)
    if (prepared === undefined) statements.set(sql, (prepared = database.prepare(sql)))
    return prepared
  }
  return {
    run: (sql, ...values) => guarded(file, () => void statement(sql).run(...values)),
    all: (sql, ...values) => guarded(file, () => statement(sql).all(...values)),
    transaction: (work) =>
      guarded(file, () => {
        database.exec('BEGIN IMMEDIATE')
        try {
          const result = work()
          database.exec('COMMIT')
          return result
        } catch (error) {
          if (database.isTransaction) database.exec('ROLLBACK')
          throw error
        }
      }),
    close: () => database.close(),
  }
}

function damaged(file: string, why: string, cause?: unknown): SluiceError {
  const aside = join(dirname(file), 'damaged')
  const move = `mkdir -p ${shellWord(aside)} && mv ${shellWord(file)}* ${shellWord(aside)}`
  return new SluiceError('CATALOG_DAMAGED', `${file}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    remedy: `Move it aside and run the resource file again; tables and staging carry their own state:\n${move}`,
  })
}

const sqliteCorrupt = 11
const sqliteNotADatabase = 26
const sqliteBusy = 5
const sqliteLocked = 6

function guarded<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof SluiceError) throw error
    const code = (error as { errcode?: number }).errcode
    const text = error instanceof Error ? error.message : String(error)
    if (code === undefined) throw error
    if ((code & 0xff) === sqliteBusy || (code & 0xff) === sqliteLocked) {
      throw new SluiceError(
        'CATALOG_BUSY',
        `${file} has been locked by another process for ${busyTimeoutMs / 1000} s`,
        { cause: error },
      )
    }
    const isDamaged = (code & 0xff) === sqliteCorrupt || code === sqliteNotADatabase
    if (isDamaged) throw damaged(file, text, error)
    throw new SluiceError('CATALOG_UNUSABLE', `${file}: ${text}`, { cause: error })
  }
}
