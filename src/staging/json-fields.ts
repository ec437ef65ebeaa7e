/**
 * Exact reading of one JSON object: every member asked for must be there, and no other.
 * Each member is to be taken once.
 */

/** Thrown by `JsonFields`; whoever knows the file turns it into a coded error. */
export class FieldError extends Error {
  override readonly name = 'FieldError'
  /** Path of the member, `entries[3].file.rows`. */
  readonly field: string

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`)
    this.field = field
  }
}

const decimalPattern = /^(0|-?[1-9]\d{0,18})$/

export class JsonFields {
  readonly #value: Record<string, unknown>
  readonly #taken: string[] = []
  readonly #path: string

  /** `path` is '' for the file's own object. */
  constructor(value: unknown, path: string) {
    if (!isRecord(value)) throw new FieldError(path === '' ? 'file' : path, 'is not an object')
    this.#value = value
    this.#path = path
  }

  /** Path of a member, for messages. */
  pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }

  fail(name: string, problem: string): never {
    throw new FieldError(this.pathOf(name), problem)
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#value, name)
  }

  text(name: string): string {
    const value = this.take(name)
    return typeof value === 'string' ? value : this.fail(name, 'is not a text')
  }

  boolean(name: string): boolean {
    const value = this.take(name)
    return typeof value === 'boolean' ? value : this.fail(name, 'is neither true nor false')
  }

  /** Present and true, or absent. */
  flag(name: string): boolean {
    return this.has(name) && (this.boolean(name) || this.fail(name, 'is false'))
  }

  /** A whole number from 0 to 2^53 - 1. */
  count(name: string): number {
    const value = this.take(name)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      this.fail(name, 'is not a whole number of at least 0')
    }
    return value
  }

  /** Number of a staged commit; -1: known from the log's base only. */
  commit(name: string): number {
    const value = this.take(name)
    if (value === -1) return value
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      this.fail(name, 'is not the number of a commit')
    }
    return value
  }

  /** A 64-bit integer in plain digits. */
  decimal(name: string): string {
    const value = this.text(name)
    return decimalPattern.test(value) ? value : this.fail(name, 'is not an integer in digits')
  }

  /** A 64-bit integer of at least 0 in plain digits. */
  sequence(name: string): string {
    const value = this.decimal(name)
    return value.startsWith('-') ? this.fail(name, 'is negative') : value
  }

  object(name: string): JsonFields {
    return new JsonFields(this.take(name), this.pathOf(name))
  }

  array<T>(name: string, read: (value: unknown, path: string) => T): T[] {
    const value = this.take(name)
    if (!Array.isArray(value)) this.fail(name, 'is not an array')
    const path = this.pathOf(name)
    return value.map((element: unknown, index) => read(element, `${path}[${index}]`))
  }

  take(name: string): unknown {
    if (!this.has(name)) this.fail(name, 'is missing')
    this.#taken.push(name)
    return this.#value[name]
  }

  /** Refuses members that nobody asked for. */
  end(): void {
    const names = Object.keys(this.#value)
    if (names.length === this.#taken.length) return
    const unknown = names.find((name) => !this.#taken.includes(name)) ?? ''
    this.fail(unknown, 'is not known to this version')
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
