/**
 * Where commands write: results to standard output, progress and log to standard error. A live block
 * of lines may stand at the bottom of the terminal; everything else is written above it.
 */
import { toJsonLine } from '../observe/json-line.ts'

export interface Terminal {
  write(text: string): void
  readonly isTty: boolean
  /** Now; a window may change. undefined when it is no terminal. */
  readonly columns: number | undefined
  readonly rows: number | undefined
}

export interface OutputOptions {
  readonly stdout: Terminal
  readonly stderr: Terminal
  readonly format: 'human' | 'json'
  readonly env: Readonly<Record<string, string | undefined>>
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

const styleCodes: Record<Style, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
}

const eraseBelow = '\u001b[0J'

export class Output {
  readonly format: 'human' | 'json'
  readonly hasColour: boolean
  readonly hasUnicode: boolean
  /** Progress can be redrawn in place. */
  readonly isLive: boolean
  readonly #stdout: Terminal
  readonly #stderr: Terminal
  #live: readonly string[] = []

  constructor({ stdout, stderr, format, env }: OutputOptions) {
    this.format = format
    this.#stdout = stdout
    this.#stderr = stderr
    const isDumb = env['TERM'] === 'dumb'
    this.isLive = format === 'human' && stderr.isTty && !isDumb
    this.hasColour = stdout.isTty && stderr.isTty && !isDumb && (env['NO_COLOR'] ?? '') === ''
    const locale = env['LC_ALL'] ?? env['LC_CTYPE'] ?? env['LANG'] ?? ''
    this.hasUnicode = process.platform === 'win32' || /utf-?8/i.test(locale)
  }

  /** Columns for tables on standard output; undefined: no limit. */
  get columns(): number | undefined {
    return this.#stdout.isTty ? (this.#stdout.columns ?? 80) : undefined
  }

  get liveColumns(): number {
    return this.#stderr.columns ?? 80
  }

  get liveRows(): number {
    return this.#stderr.rows ?? 24
  }

  /** A line of the result. */
  line(text = ''): void {
    this.#above(() => this.#stdout.write(`${text}\n`))
  }

  /** A line for people that is no result: progress, warnings, log. */
  note(text = ''): void {
    this.#above(() => this.#stderr.write(`${text}\n`))
  }

  /** One JSON line on standard output; nothing in human format. */
  event(kind: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (this.format === 'json') this.json({ event: kind, ...fields })
  }

  json(value: Readonly<Record<string, unknown>>): void {
    this.#stdout.write(`${toJsonLine(value)}\n`)
  }

  /** Replaces the live block; an empty one removes it. Does nothing when it is no terminal. */
  live(lines: readonly string[]): void {
    if (!this.isLive) return
    const up = this.#cursorUp()
    this.#live = lines
    // One write, so that nothing flickers.
    if (up !== '' || lines.length > 0) this.#stderr.write(up + lines.map((l) => `${l}\n`).join(''))
  }

  /** Takes the block's last state as finished text. */
  keepLive(): void {
    this.#live = []
  }

  style(style: Style, text: string): string {
    if (!this.hasColour) return text
    const [on, off] = styleCodes[style]
    return `\u001b[${on}m${text}\u001b[${off}m`
  }

  #above(write: () => void): void {
    if (this.#live.length > 0) this.#stderr.write(this.#cursorUp())
    write()
    if (this.#live.length > 0) this.#stderr.write(this.#live.map((line) => `${line}\n`).join(''))
  }

  #cursorUp(): string {
    return this.#live.length === 0 ? '' : `\u001b[${this.#live.length}A\r${eraseBelow}`
  }
}
