/**
 * What must hold at every moment of a run, looked at from outside: the staged log only grows (I5)
 * and is ahead of what the source was told (I1), and every version of a destination table is a state the source had (I3).
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { noFailpoints } from '../../src/base/failpoint.ts'
import type { DeltaVersion } from '../../src/delta/delta-table.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { openEngine } from '../../src/engine/duckdb.ts'
import type { Manifest } from '../../src/staging/manifest.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { readDeltaRows } from '../support/delta-rows.ts'

const digits = (n: number): string => String(n).padStart(20, '0')

function lsn(position: string): bigint {
  // Behind the place stands what is known of the log before it.
  const [high, low] = (position.split(' ', 1)[0] ?? '').split('/')
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`)
}

function expectThat(holds: boolean, text: string): asserts holds {
  if (!holds) throw new Error(`invariant broken: ${text}`)
}

/** Looks at the staged log again and again, and remembers what it was. */
export class StagedLogWatch {
  readonly #folder: string
  readonly #texts: string[] = []
  readonly #manifests: Manifest[] = []

  /** `volume`: folder of the staging volume. */
  constructor(volume: string) {
    this.#folder = join(volume, '_log')
  }

  get commits(): number {
    return this.#manifests.length
  }

  /** Staged transactions so far. */
  get lastSequence(): bigint {
    return BigInt(this.#manifests.findLast((one) => one.last_sequence)?.last_sequence ?? 0)
  }

  /** Throws unless the log is the one seen before, followed by well-formed new commits. */
  async look(): Promise<void> {
    const found = (await readdir(this.#folder).catch(() => [])).filter((name) =>
      /^\d{20}\.json$/.test(name),
    )
    const names = found.toSorted()
    expectThat(names.length >= this.#texts.length, `staged commits are gone: ${names.length}`)
    for (const [n, name] of names.entries()) {
      expectThat(name === `${digits(n)}.json`, `staged log is not dense at ${name}`)
      const text = await readFile(join(this.#folder, name), 'utf8')
      const before = this.#texts[n]
      expectThat(before === undefined || before === text, `${name} was rewritten`)
      if (before === undefined) this.#take(text, name)
    }
  }

  /**
   * I1: what the source was told is durable, is. `askConfirmed` says how far the source thinks we
   * are; undefined when it does not know us.
   */
  async lookAtBoth(askConfirmed: () => Promise<string | undefined>): Promise<void> {
    // In this order: the log only grows meanwhile.
    const confirmed = await askConfirmed()
    await this.look()
    const staged = this.#manifests.at(-1)?.position_after ?? ''
    if (confirmed === undefined || staged === '') return
    expectThat(lsn(confirmed) <= lsn(staged), `${confirmed} is acknowledged, ${staged} staged`)
  }

  #take(text: string, name: string): void {
    const manifest = JSON.parse(text) as Manifest
    const previous = this.#manifests.at(-1)
    const { position_before: before, position_after: after } = manifest
    if (previous !== undefined) {
      expectThat(manifest.epoch >= previous.epoch, `${name}: epoch goes back`)
      const isFirstPosition = previous.position_after === ''
      expectThat(
        isFirstPosition || before === previous.position_after,
        `${name} begins at ${before}, the commit before ended at ${previous.position_after}`,
      )
    }
    if (before !== '' && after !== '') {
      expectThat(lsn(after) >= lsn(before), `${name} moves from ${before} back to ${after}`)
    }
    if (manifest.first_sequence !== undefined) {
      const expected = this.lastSequence + 1n
      expectThat(
        this.#manifests.every((one) => one.first_sequence === undefined) ||
          BigInt(manifest.first_sequence) === expected,
        `${name} begins with transaction ${manifest.first_sequence}, expected ${expected}`,
      )
    }
    this.#texts.push(text)
    this.#manifests.push(manifest)
  }
}

interface TableVersion {
  readonly version: bigint
  readonly stagedCommit: number
  readonly rows: readonly string[]
}

/** Every version of a Delta table; its log has to be dense and its progress to grow. */
async function readVersions(folder: string): Promise<readonly TableVersion[]> {
  const engine = await openEngine()
  try {
    const table = openDeltaTable({
      storage: createLocalStorage(folder),
      root: '',
      clock: systemClock,
      failpoints: noFailpoints,
    })
    const read: TableVersion[] = []
    for (const [n, version] of (await table.versions()).entries()) {
      expectThat(version === BigInt(n), `${folder}: version ${n} is not there`)
      const snapshot = await table.snapshot(version as DeltaVersion)
      expectThat(snapshot !== undefined, `${folder}: version ${n} cannot be read`)
      const stagedCommit = Math.max(...snapshot.txnVersions.values())
      expectThat(
        stagedCommit > (read.at(-1)?.stagedCommit ?? -1),
        `${folder}: version ${n} does not go beyond staged commit ${stagedCommit}`,
      )
      read.push({ version, stagedCommit, rows: await readDeltaRows({ engine, table, snapshot }) })
    }
    return read
  } finally {
    await engine.close()
  }
}

export interface PairResult {
  readonly versions: number
  /** Staged commits at which both tables have a version. */
  readonly compared: number
}

/**
 * I3 by two tables that every source transaction leaves alike and summing to zero: so has to be
 * every version of each, and versions of both at one staged commit have to be alike.
 */
export async function checkPairs(lake: string): Promise<PairResult> {
  const [a, b] = [
    await readVersions(join(lake, 'pair_a')),
    await readVersions(join(lake, 'pair_b')),
  ]
  for (const { version, rows } of [...a, ...b]) {
    const ids = new Set<string>()
    let sum = 0n
    for (const row of rows) {
      const [id, amount] = /^\((\d+), (-?\d+)\)$/.exec(row)?.slice(1) ?? []
      expectThat(id !== undefined && amount !== undefined, `version ${version} has the row ${row}`)
      expectThat(!ids.has(id), `version ${version} has key ${id} twice`)
      ids.add(id)
      sum += BigInt(amount)
    }
    expectThat(sum === 0n, `amounts of version ${version} sum to ${sum}`)
  }
  const byCommit = new Map(b.map((one) => [one.stagedCommit, one]))
  let compared = 0
  for (const { stagedCommit, version, rows } of a) {
    const other = byCommit.get(stagedCommit)
    if (other === undefined) continue
    compared++
    expectThat(
      rows.join() === other.rows.join(),
      `pair_a at ${version} and pair_b at ${other.version} differ at staged commit ${stagedCommit}`,
    )
  }
  return { versions: a.length + b.length, compared }
}
