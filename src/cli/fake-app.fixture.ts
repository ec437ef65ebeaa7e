/** Terminals and a product made of paper, for tests of the commands. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { App, AppOptions, RunProgress, RunResult } from './app.ts'
import { runCli } from './cli.ts'
import type { Terminal } from './output.ts'

/** A terminal that keeps what a person would see: understands cursor up, return and erase below. */
export class FakeTerminal implements Terminal {
  readonly isTty: boolean
  readonly columns: number | undefined
  readonly rows: number | undefined
  text = ''
  screen: string[] = ['']

  constructor(size?: { readonly columns: number; readonly rows: number }) {
    this.isTty = size !== undefined
    this.columns = size?.columns
    this.rows = size?.rows
  }

  write(text: string): void {
    this.text += text
    // oxlint-disable-next-line no-control-regex
    for (const part of text.match(/\u001b\[\d*[A-Za-z]|\n|\r|[^\u001b\n\r]+/g) ?? []) {
      // oxlint-disable-next-line no-control-regex
      const up = /^\u001b\[(\d+)A$/.exec(part)?.[1]
      if (up !== undefined) this.#row -= Number(up)
      else if (part === '\u001b[0J') this.screen.length = this.#row + 1
      else if (part === '\n') this.#row++
      else if (part === '\r') this.screen[this.#row] = ''
      else if (!part.startsWith('\u001b')) {
        this.screen[this.#row] = `${this.screen[this.#row] ?? ''}${part}`
      }
      this.screen[this.#row] ??= ''
    }
  }

  #row = 0
}

export interface CliRun {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Options the product was opened with. */
  readonly opened: readonly AppOptions[]
  readonly closed: number
}

export interface RunSettings {
  readonly env?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  readonly terminal?: { readonly columns: number; readonly rows: number }
}

/** Runs one command line against `app`. */
export async function run(
  args: readonly string[],
  app: Partial<App> = {},
  settings: RunSettings = {},
): Promise<CliRun> {
  const stdout = new FakeTerminal(settings.terminal)
  const stderr = new FakeTerminal(settings.terminal)
  const opened: AppOptions[] = []
  let closed = 0
  const code = await runCli(args, {
    stdout,
    stderr,
    env: settings.env ?? {},
    clock: { nowMs: () => 1_000_000 },
    version: '1.2.3',
    signal: settings.signal ?? new AbortController().signal,
    openApp: async (options) => {
      opened.push(options)
      return { ...(app as App), close: async () => void closed++ }
    },
  })
  return { code, stdout: stdout.text, stderr: stderr.text, opened, closed }
}

export const emptyProgress: RunProgress = { phase: 'idle', gateways: [], pipelines: [] }

export const cleanResult: RunResult = {
  failedTables: [],
  rowsLoaded: 1234,
  changesApplied: 5,
  stagedCommit: 2,
  tableCount: 3,
}

export const brokenTable = {
  table: 'main.shop.orders',
  problem: { code: 'SOURCE_NO_KEY', message: 'no key', remedy: 'ALTER TABLE ...' },
}

const resourceText = `resources:
  connections:
    shop: {connection_type: POSTGRESQL, options: {host: h, user: u}}
  pipelines:
    gw: {gateway_definition: {connection_name: shop, gateway_storage_catalog: main, gateway_storage_schema: s}}
    p:
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gw.id}
        objects: [{schema: {source_catalog: d, source_schema: public, destination_catalog: main, destination_schema: shop}}]
`

/** Path of a good resource file, changed by `change`; it lasts as long as the test. */
export function resourceFile(change: (text: string) => string = (text) => text): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'shop.yml')
  writeFileSync(file, change(resourceText))
  return file
}

export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
