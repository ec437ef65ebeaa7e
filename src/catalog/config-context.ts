/** One reading of a resource file: its document, its environment, and the problems found so far. */
import { isAlias, isMap, type Document, type LineCounter, type Node, type YAMLMap } from 'yaml'
import type { ErrorCode } from '../base/error-codes.ts'
import { errorTable } from '../base/error-codes.ts'
import type { ConfigProblem, Place } from './config-problem.ts'
import type { Environment } from './template.ts'

export interface ProblemText {
  readonly message: string
  /** Replaces the remedy of the code. */
  readonly remedy?: string
}

/** A value of a map with the node of its key. */
export interface MapEntry {
  readonly key: string
  readonly keyNode: Node | undefined
  /** undefined for `key:` without a value. Never an alias. */
  readonly value: Node | undefined
}

/** Where merge keys may nest; deeper is somebody's joke. */
const maximumMergeDepth = 20

export class ConfigContext {
  readonly file: string
  readonly env: Environment
  readonly problems: ConfigProblem[] = []
  readonly #document: Document
  readonly #lines: LineCounter

  constructor(options: {
    readonly file: string
    readonly env: Environment
    readonly document: Document
    readonly lines: LineCounter
  }) {
    this.file = options.file
    this.env = options.env
    this.#document = options.document
    this.#lines = options.lines
  }

  error(code: ErrorCode, place: Place, text: ProblemText): void {
    this.#add('error', code, place, text)
  }

  warning(code: ErrorCode, place: Place, text: ProblemText): void {
    this.#add('warning', code, place, text)
  }

  placeAt(offset: number, path: string): Place {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1), path }
  }

  placeOf(node: Node | undefined, path: string): Place {
    return this.placeAt(node?.range?.[0] ?? 0, path)
  }

  /** The node an alias stands for; the node itself otherwise. */
  resolve(node: unknown): Node | undefined {
    if (isAlias(node)) return node.resolve(this.#document)
    return (node ?? undefined) as Node | undefined
  }

  /** Entries in the order of the file; keys of a merge (`<<`) come last and never win. */
  entries(map: YAMLMap, depth = 0): readonly MapEntry[] {
    const own = new Map<string, MapEntry>()
    const merged: MapEntry[] = []
    for (const pair of map.items) {
      const keyNode = this.resolve(pair.key)
      const key = keyText(keyNode)
      const value = this.resolve(pair.value)
      if (key === '<<') merged.push(...this.#merge(value, depth))
      else if (!own.has(key)) own.set(key, { key, keyNode, value })
    }
    for (const entry of merged) if (!own.has(entry.key)) own.set(entry.key, entry)
    return [...own.values()]
  }

  #merge(value: Node | undefined, depth: number): readonly MapEntry[] {
    if (depth >= maximumMergeDepth) return []
    if (isMap(value)) return this.entries(value, depth + 1)
    const items = (value as { items?: readonly unknown[] } | undefined)?.items ?? []
    return items.flatMap((item) => {
      const map = this.resolve(item)
      return isMap(map) ? this.entries(map, depth + 1) : []
    })
  }

  #add(
    severity: ConfigProblem['severity'],
    code: ErrorCode,
    place: Place,
    text: ProblemText,
  ): void {
    const remedy = text.remedy ?? errorTable[code].remedy
    const problem = { severity, code, file: this.file, ...place, message: text.message, remedy }
    // An anchor used twice is read twice, but wrong only once.
    const isKnown = this.problems.some(
      ({ line, column, message }) =>
        line === place.line && column === place.column && message === text.message,
    )
    if (!isKnown) this.problems.push(problem)
  }
}

function keyText(node: Node | undefined): string {
  const { value, source } = (node ?? {}) as { value?: unknown; source?: string }
  if (typeof value === 'string') return value
  return source ?? '(not a word)'
}
