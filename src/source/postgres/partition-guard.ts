/**
 * Keeps watch over the partitions of captured tables for one source. Row events of a partition come
 * under its own oid, so the stream asks here whose partition a relation is. What moves rows without
 * an event (a partition attached with rows in it, detached, dropped, truncated) is a gap.
 */
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { Incarnation } from '../source.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
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
import { formatIncarnation, parseIncarnation } from './position.ts'
import type { PublicationFingerprint } from './publication.ts'
import { sqlStateOf } from './server-error.ts'
import { isVisible, parsePgSnapshot } from './snapshot-point.ts'
import { quoteTable, shownTable } from './sql-text.ts'
import { endOfLog } from './wal-flush.ts'

export interface PartitionGuardOptions {
  readonly control: Control
  readonly log: Log
  readonly publicationName: string
  /** The table may be copied only once the stream has begun anew. */
  readonly distrust: (root: TableId) => Promise<void>
}

/**
 * Before this version a session of the stream that has once seen a table as not published keeps
 * that in mind when the table is attached to a published one, and the other way round.
 */
const forgettingVersion = 150000

/**
 * A new partition with rows in it, until it is known whether the stream delivered each of them. The
 * rows that a snapshot shows are those it had where the stream began, and what the transactions
 * that the snapshot shows have added and removed since: that sum tells whether it had any.
 */
export class UnprovenPartition {
  readonly root: TableId
  readonly node: PartitionNode
  /** Once the stream has delivered everything before this, it has delivered all that is shown. */
  readonly lsn: Lsn
  /** Nobody waits for an answer any more. */
  isOver = false
  readonly #shown: ShownRows
  #added = 0n

  constructor(root: TableId, node: PartitionNode, shown: ShownRows, lsn: Lsn) {
    this.root = root
    this.node = node
    this.lsn = lsn
    this.#shown = shown
  }

  get isProven(): boolean {
    return this.#added === this.#shown.rows
  }

  /** The stream delivers a row that was added to the partition, or removed from it. */
  note(xid: number, kind: 'added' | 'removed'): void {
    if (isVisible(this.#shown.snapshot, xid)) this.#added += kind === 'added' ? 1n : -1n
  }
}

interface ShownRows {
  readonly rows: bigint
  readonly snapshot: ReturnType<typeof parsePgSnapshot>
}

/** The rows of a larger partition are not counted: copying is as fast. */
const largestBytes = 4n * 1024n ** 3n

const reasons = {
  changed: 'partitions were detached, dropped or attached anew, truncated unseen or made unlogged',
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
  readonly #records = new Map<TableId, PartitionRecord>()
  readonly #gaps = new Map<TableId, { readonly reason: string; readonly record: PartitionRecord }>()
  /** By the partition's oid. */
  readonly #unproven = new Map<number, UnprovenPartition>()
  #rootOf: ReadonlyMap<number, TableId> = new Map()
  #remembered: { saved?: Incarnation; records?: string; publication?: PublicationFingerprint } = {}
  #looking: Promise<void> = Promise.resolve()

  constructor(options: PartitionGuardOptions) {
    this.#options = options
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
    this.#unproven.clear()
    for (const [root, record] of Object.entries(before)) this.#records.set(root as TableId, record)
    await this.look()
  }

  /** Compares the catalog with what is known. */
  async look(): Promise<void> {
    const next = this.#looking.then(async () => await this.#look())
    this.#looking = next.catch(() => undefined)
    await next
  }

  async #look(): Promise<void> {
    const { control, publicationName } = this.#options
    const trees = await readPartitionTrees(control, this.#roots)
    if (trees.size > 0) {
      const [row] = await control.query(
        'SELECT pubviaroot FROM pg_publication WHERE pubname = $1',
        [publicationName],
      )
      this.#withFiles = row?.['pubviaroot'] === 't'
    }
    this.#trees = trees
    for (const tree of trees.values()) await this.#compare(tree)
    const rootOf = [...trees.values()].flatMap((tree) =>
      leavesOf(tree).map(({ id }) => [Number(id), tree.root] as const),
    )
    // Last: whoever finds a partition here finds also whether it is unproven.
    this.#rootOf = new Map(rootOf)
    for (const root of this.#records.keys()) if (!trees.has(root)) this.#records.delete(root)
  }

  async #compare(tree: PartitionTree): Promise<void> {
    const record = this.#records.get(tree.root)
    if (record === undefined) {
      this.#records.set(tree.root, recordOf(tree, this.#withFiles))
      return
    }
    const known = this.#gaps.get(tree.root)
    if (known !== undefined) return this.#gap(tree, known.reason)
    const difference = compareTree(record, tree, this.#withFiles)
    const isMistaken = this.#mayMistake(difference)
    if (isMistaken) await this.#options.distrust(tree.root)
    if (difference.kind === 'changed') return this.#gap(tree, reasons.changed)
    if (isMistaken) return this.#gap(tree, reasons.unseen)
    for (const node of difference.added) {
      if (node.kind === 'p' || this.#unproven.has(Number(node.id))) continue
      const shown = await this.#rowsIn(node)
      if (shown === undefined) return this.#gap(tree, reasons.attached(node))
      // What it had before is gone, and a delete of a row that never came does nothing.
      if (shown.rows === 0n) continue
      const lsn = await endOfLog(this.#options.control)
      const unproven = new UnprovenPartition(tree.root, node, shown, lsn)
      this.#unproven.set(Number(node.id), unproven)
    }
    this.#keep(tree)
  }

  /** The present session of the stream may take partitions for what they were before. */
  #mayMistake(difference: TreeDifference): boolean {
    if (this.#serverVersion >= forgettingVersion) return false
    return difference.kind === 'changed' || difference.added.some(({ isBorn }) => !isBorn)
  }

  #keep(tree: PartitionTree): void {
    const unknown = new Set<TableId>()
    for (const { root, node } of this.#unproven.values()) {
      if (root === tree.root) unknown.add(node.id)
    }
    this.#records.set(tree.root, recordOf(tree, this.#withFiles, unknown))
  }

  #gap(tree: PartitionTree, reason: string): void {
    this.#forgetUnproven(tree.root)
    this.#gaps.set(tree.root, { reason, record: recordOf(tree, this.#withFiles) })
  }

  #forgetUnproven(root: TableId): void {
    for (const one of this.#unproven.values()) if (one.root === root) this.#end(one)
  }

  #end(one: UnprovenPartition): void {
    one.isOver = true
    this.#unproven.delete(Number(one.node.id))
  }

  /** undefined: that cannot be said. */
  async #rowsIn(node: PartitionNode): Promise<ShownRows | undefined> {
    const { control, log } = this.#options
    try {
      const [size] = await control.query('SELECT pg_relation_size($1::oid)::text AS bytes', [
        node.id,
      ])
      if (BigInt(size?.['bytes'] ?? '0') > largestBytes) return undefined
      const [row] = await control.query(
        `SELECT count(*)::text AS rows, pg_current_snapshot()::text AS shown FROM ONLY ${quoteTable(node)}`,
      )
      const snapshot = parsePgSnapshot(row?.['shown'] ?? '')
      return { rows: BigInt(row?.['rows'] ?? '0'), snapshot }
    } catch (error) {
      if (sqlStateOf(error) === undefined) throw error
      log.debug('a partition could not be looked at', { partition: shownTable(node) })
      return undefined
    }
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
    if (this.#unproven.size === 0) return
    for (const one of this.#unproven.values()) {
      if (one.lsn > lsn) continue
      this.#end(one)
      const tree = this.#trees.get(one.root)
      if (tree === undefined) continue
      if (one.isProven) this.#keep(tree)
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
    return leavesOf(tree).every(({ id }) => truncated.has(Number(id)))
  }

  /** A copy shows exactly these partitions with all their rows. Throws SOURCE_TABLE_CHANGED. */
  async copied(tree: PartitionTree): Promise<void> {
    const { root } = tree
    const before = this.#records.get(root)
    const isMistaken =
      before !== undefined && this.#mayMistake(compareTree(before, tree, this.#withFiles))
    if (isMistaken) await this.#options.distrust(root)
    this.#forgetUnproven(root)
    this.#gaps.delete(root)
    this.#records.set(root, recordOf(tree, this.#withFiles))
    if (!isMistaken) return
    throw new SluiceError(
      'SOURCE_TABLE_CHANGED',
      `Partitions of the table (oid ${root}) came or went; it is copied once the stream has begun anew`,
    )
  }
}
