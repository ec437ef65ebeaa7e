/**
 * Where absent cells come from. A change may leave cells out ("as it was before"); the value then
 * is the one of the row the change replaced: a row staged earlier, or a row of the destination.
 * Pure: it sees operations, keys and masks, never a value.
 */

/** Operations as small numbers, in the order of `opCodes`. */
export const opCode = { r: 0, i: 1, u: 2, d: 3 } as const

/** Changes of one table, ascending by (sequence, ordinal). One entry per change in every array. */
export interface ChangeKeys {
  /** See `opCode`. */
  readonly ops: ArrayLike<number>
  /** Dense number of the key, from 0. */
  readonly keys: ArrayLike<number>
  /** Number of an entry of `absentSets`. */
  readonly masks: ArrayLike<number>
  /**
   * 1 when the change stands right behind the one before it: same sequence, next ordinal. Only
   * then may an insert take cells from the row that a delete before it removed (a change of key).
   */
  readonly follows: ArrayLike<number>
  /** Distinct sets of absent columns, each ascending; set 0 is empty. */
  readonly absentSets: readonly (readonly number[])[]
  /** 1 for every change whose row is asked for; absent: the last one of each key. */
  readonly wanted?: ArrayLike<number>
}

/**
 * Source of one cell: `n ≥ 0` is the staged change n; `n < 0` is the row that the destination has
 * under key `-1 - n`; `noSource`: nobody has it.
 */
export type CellSource = number
export const noSource: CellSource = Number.MIN_SAFE_INTEGER

export interface CarryOver {
  /** Changes whose rows are asked for, that are no delete, and have absent cells; ascending. */
  readonly changes: readonly number[]
  /** One per entry of `changes`: where each column of its absent set comes from, in that order. */
  readonly sources: readonly (readonly CellSource[])[]
}

/** Nothing is known about the key yet: its row is the destination's. */
const inDestination = -1
const isDeleted = -2

export function resolveCarryOver(input: ChangeKeys, keyCount: number): CarryOver {
  const { ops, keys, masks, follows, absentSets } = input
  const current = new Int32Array(keyCount).fill(inDestination)
  const resolved = new Map<number, readonly CellSource[]>()

  /** The cell of the row that is in `state` under `key`. */
  const cellOf = (state: number, key: number, column: number): CellSource => {
    if (state === inDestination) return -1 - key
    if (state === isDeleted) return noSource
    const place = absentSets[masks[state] ?? 0]?.indexOf(column) ?? -1
    return place < 0 ? state : (resolved.get(state)?.[place] ?? noSource)
  }

  let removedState = isDeleted
  let removedKey = 0
  let mayMove = false
  for (let change = 0; change < ops.length; change++) {
    const key = keys[change] ?? 0
    const absent = absentSets[masks[change] ?? 0] ?? []
    if (ops[change] === opCode.d) {
      removedState = current[key] ?? inDestination
      removedKey = key
      mayMove = true
      current[key] = isDeleted
      continue
    }
    if (absent.length > 0) {
      const moved = ops[change] === opCode.i && mayMove && follows[change] === 1
      const state = moved ? removedState : (current[key] ?? inDestination)
      const from = moved ? removedKey : key
      resolved.set(
        change,
        absent.map((column) => cellOf(state, from, column)),
      )
    }
    mayMove = false
    current[key] = change
  }
  return wantedOnes(input.wanted, current, resolved)
}

function wantedOnes(
  wanted: ArrayLike<number> | undefined,
  current: Int32Array,
  resolved: ReadonlyMap<number, readonly CellSource[]>,
): CarryOver {
  const changes =
    wanted === undefined
      ? Array.from(current)
          .filter((change) => resolved.has(change))
          .toSorted((a, b) => a - b)
      : [...resolved.keys()].filter((change) => wanted[change] === 1)
  return { changes, sources: changes.map((change) => resolved.get(change) ?? []) }
}
