/** Time that passes as soon as the program waits: timers run in order of their due time, at once. */
import type { SteadyClock } from '../../../src/base/clock.ts'
import type { Timers } from '../../../src/base/timers.ts'

interface Timer {
  readonly dueMs: number
  readonly run: () => void
}

export class FakeTime implements SteadyClock, Timers {
  #nowMs: number
  #jumpedMs = 0
  #timers: Timer[] = []
  #isPumping = false

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  elapsedMs(): number {
    return this.#nowMs - this.#jumpedMs
  }

  advance(ms: number): void {
    this.#nowMs += ms
  }

  /** Somebody sets the wall clock: no time passes. */
  jump(ms: number): void {
    this.#nowMs += ms
    this.#jumpedMs += ms
    this.#timers = this.#timers.map((timer) => ({ ...timer, dueMs: timer.dueMs + ms }))
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    this.#pump()
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  #pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    setImmediate(() => {
      this.#isPumping = false
      const next = this.#timers.toSorted((a, b) => a.dueMs - b.dueMs)[0]
      if (next === undefined) return
      this.#timers = this.#timers.filter((other) => other !== next)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.run()
      this.#pump()
    })
  }
}
