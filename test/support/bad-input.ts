/**
 * What the tests of bad input share: one server with a database, a role and a data folder per case,
 * the command as a child process, and a search for what no output and no file may hold.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { expect } from 'vitest'
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import type { SmallDisk } from './small-disk.ts'
import {
  type Finished,
  type SluiceOptions,
  type SluiceProcess,
  startSluice,
} from './sluice-process.ts'

export interface Problem {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

/** One finished call of the command with `--output json`. */
export interface Called {
  readonly exitCode: number | null
  /** The error that ended the command. */
  readonly error: Problem | undefined
  /** By source table (`schema.table`) or by destination. */
  readonly failed: ReadonlyMap<string, Problem>
  /** Every event and log line. */
  readonly lines: readonly Record<string, unknown>[]
  readonly text: string
}

export interface Scene {
  readonly database: string
  /** May log in and replicate, owns the schema `app` and its tables `orders` and `people`. */
  readonly role: string
  readonly password: string
  /** A text that stands in a row of every table. */
  readonly rowValue: string
  readonly folder: string
  readonly dataFolder: string
  readonly file: string
  /** As superuser, in the scene's database. */
  sql(text: string): Promise<readonly Record<string, unknown>[]>
  /** As the role. */
  sqlAsRole(text: string): Promise<void>
  writeFile(options?: ResourceOptions): void
  start(args: readonly string[], options?: StartOptions): SluiceProcess
  /** Any command; `--data` and `--output json` are added. */
  call(...args: readonly string[]): Promise<Called>
  runOnce(...more: readonly string[]): Promise<Called>
  /** Runs what a remedy says: `sluice …`, as a person would paste it. */
  follow(remedy: string): Promise<Called>
  /** Both tables (or those named) are proven equal; nothing secret was said or kept. */
  expectEqual(...tables: readonly string[]): Promise<void>
  expectNoSecrets(): void
  /** Files under the data folder whose path, relative to it, matches. */
  files(pattern: RegExp): readonly string[]
  /** Runs everything where `disk` can be seen. */
  use(disk: SmallDisk, options: { readonly holdsData: boolean }): void
  dispose(): void
}

export interface StartOptions {
  readonly dataFolder?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface ResourceOptions {
  readonly host?: string
  readonly port?: number
  readonly user?: string
  /** In place of the reference to the environment. */
  readonly password?: string
  readonly sslmode?: string
  readonly sslrootcert?: string
  /** File URL: volume and tables lie there. */
  readonly storageRoot?: string
  /** File URL: the tables lie there. */
  readonly lakeRoot?: string
  readonly objects?: readonly string[]
  /** Of the ingestion pipeline: `sluice.unfitValues: null`. */
  readonly settings?: string
}

const wholeSchema = '{source_schema: app, destination_catalog: main, destination_schema: copy}'

function resourceText(
  options: Required<Pick<ResourceOptions, 'host' | 'port' | 'user'>> & ResourceOptions,
  database: string,
): string {
  const {
    host,
    port,
    user,
    sslmode = 'disable',
    sslrootcert,
    storageRoot,
    lakeRoot,
    objects,
    settings = '',
    password = '${env.SLUICE_TEST_PASSWORD}',
  } = options
  const tls = sslrootcert === undefined ? '' : `, sslrootcert: ${sslrootcert}`
  const mode = sslmode === '' ? '' : `, sslmode: ${sslmode}`
  const roots =
    storageRoot === undefined ? '' : `  catalogs:\n    main: {storage_root: "${storageRoot}"}\n`
  const lake =
    lakeRoot === undefined
      ? ''
      : `  schemas:\n    copy: {catalog_name: main, storage_root: "${lakeRoot}"}\n`
  const list = objects ?? [`schema: ${wholeSchema}`]
  return `resources:
  connections:
    db:
      connection_type: POSTGRESQL
      options: {host: ${host}, port: "${port}", database: ${database}, user: ${user}, password: "${password}"${mode}${tls}}
${roots}${lake}  pipelines:
    gateway:
      gateway_definition: {connection_name: db, gateway_storage_catalog: main, gateway_storage_schema: staging, gateway_storage_name: db}
    ingest:
      configuration: {${settings}}
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gateway.id}
        objects:
${list.map((object) => `          - ${object}`).join('\n')}
`
}

/** A database with two small tables, and a role with the rights the read me asks for. */
export async function createScene(server: EmbeddedPostgres, name: string): Promise<Scene> {
  const scene = new ServerScene(server, name)
  await scene.fill()
  return scene
}

class ServerScene implements Scene {
  readonly database: string
  readonly role: string
  readonly password = `pw-${randomBytes(9).toString('hex')}`
  readonly rowValue = `row-${randomBytes(9).toString('hex')}`
  readonly folder: string
  dataFolder: string
  readonly file: string
  #disk: SmallDisk | undefined
  /** Where the data folder is for us. */
  #seen: string
  readonly #server: EmbeddedPostgres
  readonly #said: string[] = []
  readonly #running = new Set<SluiceProcess>()

  constructor(server: EmbeddedPostgres, name: string) {
    this.#server = server
    this.database = `${name}_db`
    this.role = `${name}_role`
    this.folder = mkdtempSync(join(tmpdir(), `sluice-bad-${name}-`))
    this.#seen = this.dataFolder = join(this.folder, 'data folder')
    this.file = join(this.folder, 'resources.yml')
  }

  async fill(): Promise<void> {
    const { role, database } = this
    await this.#server.sql(`CREATE ROLE ${role} LOGIN REPLICATION PASSWORD '${this.password}'`)
    await this.#server.sql(`CREATE DATABASE ${database} OWNER ${role}`)
    await this.sqlAsRole(`
      CREATE SCHEMA app;
      CREATE TABLE app.orders (id int PRIMARY KEY, note text, day date);
      CREATE TABLE app.people (id int PRIMARY KEY, name text);
      INSERT INTO app.orders SELECT n, '${this.rowValue}' || n, '2024-01-01' FROM generate_series(1, 50) n;
      INSERT INTO app.people SELECT n, '${this.rowValue}' || n FROM generate_series(1, 50) n;`)
    this.writeFile()
  }

  async sql(text: string): Promise<readonly Record<string, unknown>[]> {
    return await this.#server.sql(text, this.database)
  }

  async sqlAsRole(text: string): Promise<void> {
    await this.sql(`SET ROLE ${this.role}; ${text}`)
  }

  writeFile(options: ResourceOptions = {}): void {
    const { port } = this.#server
    const filled = { host: '127.0.0.1', port, user: this.role, ...options }
    writeFileSync(this.file, resourceText(filled, this.database))
  }

  start(args: readonly string[], options: StartOptions = {}): SluiceProcess {
    const { dataFolder = this.dataFolder, env } = options
    const { env: password, ...where } = this.#place()
    const place = { ...where, env: { ...password, ...env } }
    const started = startSluice([...args, '--data', dataFolder, '--output', 'json'], place)
    this.#running.add(started)
    const ended = (): void => void this.#running.delete(started)
    started.finished.then(ended, ended)
    return started
  }

  async call(...args: readonly string[]): Promise<Called> {
    return this.#called(await this.start(args).finished)
  }

  async runOnce(...more: readonly string[]): Promise<Called> {
    return await this.call('run', this.file, '--once', ...more)
  }

  async follow(remedy: string): Promise<Called> {
    const command = /(?:^|[Rr]un: )sluice (.*)$/m.exec(remedy)?.[1]
    if (command === undefined) throw new Error(`no command in the remedy: ${remedy}`)
    const args = [...command.matchAll(/'([^']*)'|(\S+)/g)].map((one) => one[1] ?? one[2] ?? '')
    expect(args, 'the remedy names the data folder').toContain(this.dataFolder)
    return this.#called(await startSluice([...args, '--output', 'json'], this.#place()).finished)
  }

  async expectEqual(...tables: readonly string[]): Promise<void> {
    const verified = await this.call('verify', ...tables)
    expect(verified.exitCode, verified.text).toBe(0)
    this.expectNoSecrets()
  }

  expectNoSecrets(): void {
    for (const text of this.#said) {
      expect(text).not.toContain(this.password)
      expect(text).not.toContain(this.rowValue)
    }
    for (const file of this.files(/./)) {
      const bytes = readFileSync(join(this.#seen, file))
      expect(bytes.includes(this.password), `the password stands in ${file}`).toBe(false)
      // Rows belong into tables and staged files, and their bounds into both logs.
      if (/\.parquet$|_delta_log|_log/.test(file)) continue
      expect(bytes.includes(this.rowValue), `a row value stands in ${file}`).toBe(false)
    }
  }

  files(pattern: RegExp): readonly string[] {
    const found: string[] = []
    const walk = (folder: string): void => {
      for (const name of readdirSync(folder)) {
        const path = join(folder, name)
        if (statSync(path).isDirectory()) walk(path)
        else if (pattern.test(relative(this.#seen, path))) {
          found.push(relative(this.#seen, path))
        }
      }
    }
    try {
      walk(this.#seen)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    return found.toSorted()
  }

  use(disk: SmallDisk, options: { readonly holdsData: boolean }): void {
    this.#disk = disk
    if (!options.holdsData) return
    this.dataFolder = join(disk.folder, 'data folder')
    this.#seen = disk.outside(this.dataFolder)
  }

  dispose(): void {
    // Of a test that failed; it would write into the folder again.
    for (const running of this.#running) running.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }

  #place(): SluiceOptions {
    const inside = this.#disk?.inside ?? []
    return { cwd: this.folder, env: { SLUICE_TEST_PASSWORD: this.password }, inside }
  }

  #called(finished: Finished): Called {
    const called = parseCalled(finished)
    this.#said.push(called.text)
    return called
  }
}

export function parseCalled({ exitCode, stdout, stderr }: Finished): Called {
  const text = `${stdout}\n${stderr}`
  const lines = text.split('\n').flatMap((line): Record<string, unknown>[] => {
    try {
      return [JSON.parse(line) as Record<string, unknown>]
    } catch {
      return []
    }
  })
  const finished = lines.findLast((line) => line['event'] === 'finished')
  const failedTables = (finished?.['failed_tables'] ?? []) as { table: string; problem: Problem }[]
  return {
    exitCode,
    error: lines.findLast((line) => line['event'] === 'error') as Problem | undefined,
    failed: new Map(failedTables.map(({ table, problem }) => [table, problem])),
    lines,
    text,
  }
}
