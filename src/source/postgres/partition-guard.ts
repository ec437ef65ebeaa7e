/**
 * Keeps watch over the partitions of captured tables for one source. Row events of a partition come
 * under its own oid, so the stream asks here whose partition a relation is. What moves rows without
 * an event (a partition attached with rows in it, detached, dropped, truncated) is a gap.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { Incarnation } from '../source.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import { type ControlConnection, openControl } from './connect.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import type { Lsn } from './lsn.ts'
import {
  compareTree,
  leavesOf,
  type PartitionNode,
  type PartitionRecord,
  type PartitionRecords,
  type PartitionTree,
  readPartitionTrees,
  recordOf,
  type TreeDifference,
} from './partition-tree.ts'
import { MovedLeaves } from './moved-leaves.ts'
import { formatIncarnation, parseIncarnation } from './position.ts'
import type { PublicationFingerprint } from './publication.ts'
import { sqlStateOf } from './server-error.ts'
import { parsePgSnapshot } from './snapshot-point.ts'
import { quoteTable, shownTable } from './sql-text.ts'
import { type ShownRows, UnprovenPartition } from './unproven-partition.ts'
import type { ToldTruncates } from './told-truncates.ts'
import { endOfLog } from './wal-flush.ts'

export interface PartitionGuardOptions {
  /** For sessions of its own. */
  readonly options: PostgresOptions
  readonly control: Control
  readonly log: Log
  readonly publicationName: string
  /** The table may be copied only once the stream has begun anew. */
  readonly distrust: (root: TableId) => Promise<void>
  readonly truncates: Pick<ToldTruncates, 'has'>
}

/**
 * Before this version a session of the stream that has once seen a table as not published keeps
 * that in mind when the table is attached to a published one, and the other way round.
 */
const forgettingVersion = 150000

/** The rows of a larger partition are not counted: copying is as fast. */
const largestBytes = 4n * 1024n ** 3n

/** As long as a catalog query may take. */
const countSettings = { statement_timeout: '300000' }

/** When sessions break while they count. */
const mostTries = 3

const reasons = {
  changed: 'partitions were detached, dropped or attached anew, truncated unseen or made unlogged',
  moved: 'rows of a partition lie in a new file, and it may have been unlogged meanwhile',
  unseen: 'a table was attached as a partition, which this server may not publish at once',
  attached: (node: PartitionNode): string =>
    `partition ${shownTable(node)} was attached and may have had rows`,
} as const

export class PartitionGuard {
  readonly #options: PartitionGuardOptions
  #roots: readonly TableId[] = []
  #serverVersion = 0
  /** A publication that shows partitions as their root does not show a TRUNCATE of one. */
  #withFiles = false
  #trees: ReadonlyMap<TableId, PartitionTree> = new Map()
  /** Of whose partitions each is on record or unproven; an earlier look than `#trees`, for a moment. */
  readonly #compared = new Map<TableId, PartitionTree>()
  readonly #records = new Map<TableId, PartitionRecord>()
  readonly #gaps = new Map<TableId, { readonly reason: string; readonly record: PartitionRecord }>()
  readonly #moved: MovedLeaves
  /** By the partition's oid. */
  readonly #unproven = new Map<number, UnprovenPartition>()
  #rootOf: ReadonlyMap<number, TableId> = new Map()
  #remembered: { saved?: Incarnation; records?: string; publication?: PublicationFingerprint } = {}
  #looking: Promise<void> = Promise.resolve()
  readonly #counting = new Set<ControlConnection>()

  constructor(options: PartitionGuardOptions) {
    this.#options = options
    this.#moved = new MovedLeaves(options)
  }

  /** `saved` with what is known of partitions and publication, as far as the sink has been told. */
  remember(saved: Incarnation, publication: PublicationFingerprint): Incarnation {
    const records = JSON.stringify([...this.#records])
    const last = this.#remembered
    const isSame = last.records === records && last.publication === publication
    if (saved === last.saved && isSame) return saved
    const partitions = this.#records.size === 0 ? undefined : Object.fromEntries(this.#records)
    const { partitions: _, ...known } = parseIncarnation(saved)
    const rest = { ...known, publication }
    const now = formatIncarnation(partitions === undefined ? rest : { ...rest, partitions })
    this.#remembered = { saved: now, records, publication }
    return now
  }

  /** Before a stream; `before` is what was known where it goes on. */
  async prepare(
    tables: readonly SourceTable[],
    serverVersion: number,
    before: PartitionRecords,
  ): Promise<void> {
    this.#serverVersion = serverVersion
    this.#roots = tables.map(({ id }) => id)
    this.#records.clear()
    this.#gaps.clear()
    await this.close()
    this.#compared.clear()
    this.#moved.clear()
    for (const [root, record] of Object.entries(before)) this.#records.set(root as TableId, record)
    // No stream waits for it yet.
    await this.look('until counted')
  }

  /** Compares the catalog with what is known; rows of new partitions are counted beside the stream. */
  async look(waits?: 'until counted'): Promise<void> {
    const next = this.#looking.then(async () => await this.#look(waits !== undefined))
    this.#looking = next.catch(() => undefined)
    await next
  }

  async #look(waits: boolean): Promise<void> {
    const { control, publicationName } = this.#options
    const trees = await readPartitionTrees(control, this.#roots)
    if (trees.size > 0) {
      const [row] = await control.query(
        'SELECT pubviaroot FROM pg_publication WHERE pubname = $1',
        [publicationName],
      )
      this.#withFiles = row?.['pubviaroot'] === 't'
      await this.#moved.look(trees)
    }
    this.#trees = trees
    for (const tree of trees.values()) await this.#compare(tree, waits)
    const rootOf = [...trees.values()].flatMap((tree) =>
      leavesOf(tree).map(({ id }) => [Number(id), tree.root] as const),
    )
    // Last: whoever finds a partition here finds also whether it is unproven.
    this.#rootOf = new Map(rootOf)
    for (const root of this.#records.keys()) if (!trees.has(root)) this.#records.delete(root)
  }

  async #compare(tree: PartitionTree, waits: boolean): Promise<void> {
    const record = this.#records.get(tree.root)
    if (record === undefined) {
      this.#compared.set(tree.root, tree)
      this.#records.set(tree.root, this.#recordOf(tree))
      return
    }
    const known = this.#gaps.get(tree.root)
    if (known !== undefined) return this.#gap(tree, known.reason)
    const difference = compareTree(record, tree, this.#withFiles)
    const isMistaken = this.#mayMistake(difference)
    if (isMistaken) await this.#options.distrust(tree.root)
    if (difference.kind === 'changed') return this.#gap(tree, reasons.changed)
    if (isMistaken) return this.#gap(tree, reasons.unseen)
    if (!this.#withFiles) await this.#moved.compare(record.files, tree, difference.added)
    const fresh = difference.added
      .filter((node) => node.kind !== 'p' && !this.#unproven.has(Number(node.id)))
      .map((node) => new UnprovenPartition(tree.root, node))
    for (const one of fresh) this.#unproven.set(Number(one.node.id), one)
    this.#compared.set(tree.root, tree)
    for (const one of fresh) {
      if (waits) await this.#count(one, tree)
      else void this.#countBeside(one, tree)
      // A gap is not on record before it has been told.
      if (this.#gaps.has(tree.root)) return
    }
    this.#keep(tree)
  }

  /** The stream would end with a connection that is gone for longer. */
  async #countBeside(one: UnprovenPartition, found: PartitionTree): Promise<void> {
    for (let tries = 1; !one.isOver; tries++) {
      try {
        return await this.#count(one, found)
      } catch {
        if (tries < mostTries) await sleep(1_000)
        else if (!one.isOver) this.#gap(this.#treeOf(one, found), reasons.attached(one.node))
      }
    }
  }

  async #count(one: UnprovenPartition, found: PartitionTree): Promise<void> {
    const shown = await this.#rowsIn(one)
    const lsn = await endOfLog(this.#options.control)
    if (one.isOver) return
    const tree = this.#treeOf(one, found)
    if (shown === undefined) return this.#gap(tree, reasons.attached(one.node))
    if (shown.rows > 0n) return one.counted(shown, lsn)
    // What it had before is gone, and a delete of a row that never came does nothing.
    this.#end(one)
    this.#keep(tree)
  }

  #treeOf({ root }: UnprovenPartition, found: PartitionTree): PartitionTree {
    return this.#compared.get(root) ?? found
  }

  /** The present session of the stream may take partitions for what they were before. */
  #mayMistake(difference: TreeDifference): boolean {
    if (this.#serverVersion >= forgettingVersion) return false
    return difference.kind === 'changed' || difference.added.some(({ isBorn }) => !isBorn)
  }

  /** `unknown`: see `recordOf`. */
  #recordOf(tree: PartitionTree, unknown: ReadonlySet<TableId> = new Set()): PartitionRecord {
    const record = recordOf(tree, this.#withFiles, unknown)
    if (this.#withFiles) return record
    return { ...record, files: this.#moved.files(tree, ({ id }) => !unknown.has(id)) }
  }

  #keep(tree: PartitionTree): void {
    if (this.#moved.has(tree.root)) return
    const unknown = new Set<TableId>()
    for (const { root, node } of this.#unproven.values()) {
      if (root === tree.root) unknown.add(node.id)
    }
    this.#records.set(tree.root, this.#recordOf(tree, unknown))
  }

  #gap(tree: PartitionTree, reason: string): void {
    this.#forgetUnproven(tree.root)
    this.#moved.forget(tree.root)
    this.#gaps.set(tree.root, { reason, record: this.#recordOf(tree) })
  }

  #forgetUnproven(root: TableId): void {
    for (const one of this.#unproven.values()) if (one.root === root) this.#end(one)
  }

  #end(one: UnprovenPartition): void {
    one.isOver = true
    this.#unproven.delete(Number(one.node.id))
  }

  /** In a session of its own, which nobody else waits for. undefined: that cannot be said. */
  async #rowsIn(one: UnprovenPartition): Promise<ShownRows | undefined> {
    const { options, control, log } = this.#options
    const { node } = one
    const own = await openControl(options, countSettings).catch(() => undefined)
    if (own !== undefined) this.#counting.add(own)
    // Where the server lets no further session in, the others have to wait.
    const session = own ?? control
    try {
      if (one.isOver) return undefined
      const [size] = await session.query('SELECT pg_relation_size($1::oid)::text AS bytes', [
        node.id,
      ])
      if (BigInt(size?.['bytes'] ?? '0') > largestBytes) return undefined
      const [row] = await session.query(
        `SELECT count(*)::text AS rows, pg_current_snapshot()::text AS shown FROM ONLY ${quoteTable(node)}`,
      )
      const snapshot = parsePgSnapshot(row?.['shown'] ?? '')
      return { rows: BigInt(row?.['rows'] ?? '0'), snapshot }
    } catch (error) {
      if (sqlStateOf(error) === undefined) throw error
      log.debug('a partition could not be looked at', { partition: shownTable(node) })
      return undefined
    } finally {
      if (own !== undefined) this.#counting.delete(own)
      await own?.close()
    }
  }

  /** Ends what still counts. */
  async close(): Promise<void> {
    for (const one of this.#unproven.values()) this.#end(one)
    for (const session of this.#counting) await session.close()
  }

  /** Tables that have to be copied anew, each told once. */
  takeGaps(): ReadonlyMap<TableId, string> {
    const gaps = new Map<TableId, string>()
    for (const [root, { reason, record }] of this.#gaps) {
      gaps.set(root, reason)
      this.#records.set(root, record)
    }
    this.#gaps.clear()
    return gaps
  }

  /** The stream has delivered everything before `lsn`. */
  passed(lsn: Lsn): void {
    for (const { root, files } of this.#moved.passed(lsn)) {
      const [tree, record] = [this.#compared.get(root), this.#records.get(root)]
      if (tree === undefined || record === undefined) continue
      // What moved since is found by the next look.
      if (files === undefined) this.#gap(tree, reasons.moved)
      else this.#records.set(root, { ...record, files })
    }
    if (this.#unproven.size === 0) return
    for (const one of this.#unproven.values()) {
      const judgement = one.judge(lsn)
      if (judgement === undefined) continue
      this.#end(one)
      const tree = this.#compared.get(one.root)
      if (tree === undefined) continue
      if (judgement === 'proven') this.#keep(tree)
      else this.#gap(tree, reasons.attached(one.node))
    }
  }

  /** The captured table that rows of this relation belong to; undefined for any other relation. */
  async rootOf(oid: number): Promise<TableId | undefined> {
    if (this.#trees.size === 0) return undefined
    if (!this.#rootOf.has(oid)) await this.look()
    return this.#rootOf.get(oid)
  }

  /** Whom to tell of rows of this partition. */
  unproven(oid: number): UnprovenPartition | undefined {
    return this.#unproven.get(oid)
  }

  /**
   * True when a TRUNCATE of these partitions leaves no row in the table: rows can be nowhere but in
   * partitions that are known now, as those are that rows came of; what went since is a gap anyway.
   */
  isWhole(root: TableId, truncated: ReadonlySet<number>): boolean {
    const tree = this.#trees.get(root)
    if (tree === undefined) return false
    const isWhole = leavesOf(tree).every(({ id }) => truncated.has(Number(id)))
    if (!isWhole) this.#moved.told(root)
    return isWhole
  }

  /** A copy shows exactly these partitions with all their rows. Throws SOURCE_TABLE_CHANGED. */
  async copied(tree: PartitionTree): Promise<void> {
    const { root } = tree
    const before = this.#records.get(root)
    const isMistaken =
      before !== undefined && this.#mayMistake(compareTree(before, tree, this.#withFiles))
    if (isMistaken) await this.#options.distrust(root)
    this.#forgetUnproven(root)
    this.#moved.copied(root)
    this.#gaps.delete(root)
    this.#records.set(root, this.#recordOf(tree))
    if (!isMistaken) return
    throw new SluiceError(
      'SOURCE_TABLE_CHANGED',
      `Partitions of the table (oid ${root}) came or went; it is copied once the stream has begun anew`,
    )
  }
}
