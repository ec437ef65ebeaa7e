import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { noSource, opCode, resolveCarryOver, type ChangeKeys } from './carry-over.ts'

interface Step {
  readonly op: keyof typeof opCode
  readonly key: number
  readonly absent?: readonly number[]
  /** Not the next ordinal of the same transaction. */
  readonly apart?: boolean
}

function input(steps: readonly Step[]): ChangeKeys {
  const absentSets: (readonly number[])[] = [[]]
  const masks = steps.map(({ absent }) => {
    if (absent === undefined || absent.length === 0) return 0
    absentSets.push(absent)
    return absentSets.length - 1
  })
  return {
    ops: steps.map((step) => opCode[step.op]),
    keys: steps.map((step) => step.key),
    follows: steps.map((step, index) => (index === 0 || step.apart === true ? 0 : 1)),
    masks,
    absentSets,
  }
}

const resolve = (...steps: Step[]): [number, readonly number[]][] => {
  const { changes, sources } = resolveCarryOver(input(steps), 10)
  return changes.map((change, index) => [change, sources[index] ?? []])
}

describe('resolveCarryOver()', () => {
  test('an update keeps the destination row', () => {
    expect(resolve({ op: 'u', key: 4, absent: [1, 2] })).toEqual([[0, [-5, -5]]])
  })

  test('updates of one key with different absent columns find the nearest value of each', () => {
    const found = resolve(
      { op: 'u', key: 0, absent: [2] },
      { op: 'u', key: 0, absent: [1] },
      { op: 'u', key: 0, absent: [1, 2] },
    )
    expect(found).toEqual([[2, [0, 1]]])
  })

  test('a change of key takes the row along, also through a chain', () => {
    const found = resolve(
      { op: 'u', key: 1, absent: [3] },
      { op: 'd', key: 1, apart: true },
      { op: 'i', key: 2, absent: [2, 3] },
      { op: 'd', key: 2, apart: true },
      { op: 'i', key: 3, absent: [2, 3] },
    )
    expect(found).toEqual([[4, [0, -2]]])
  })

  test('a delete and an unrelated insert share nothing', () => {
    expect(resolve({ op: 'd', key: 1 }, { op: 'i', key: 1, apart: true })).toEqual([])
    const broken = resolve({ op: 'd', key: 1 }, { op: 'u', key: 1, absent: [2], apart: true })
    expect(broken).toEqual([[1, [noSource]]])
  })

  test('a row moved away and another moved in do not mix', () => {
    const found = resolve(
      { op: 'd', key: 1 },
      { op: 'i', key: 2, absent: [1] },
      { op: 'd', key: 3, apart: true },
      { op: 'i', key: 1, absent: [1] },
      { op: 'u', key: 2, absent: [1], apart: true },
    )
    expect(found).toEqual([
      [3, [-4]],
      [4, [-2]],
    ])
  })

  test('agrees with a map of rows for any history', () => {
    fc.assert(
      fc.property(histories(), ({ steps, live }) => {
        const found = new Map(resolve(...steps))
        const rows = naive(steps, live)
        for (const [key, row] of rows) {
          const change = row.writtenBy
          if (change === undefined) continue
          const absent = steps[change]?.absent ?? []
          expect(found.get(change) ?? []).toEqual(absent.map((column) => row.cells[column]))
          found.delete(change)
          expect(steps[change]?.key).toBe(key)
        }
        expect([...found.keys()]).toEqual([])
      }),
      { numRuns: 500 },
    )
  })
})

const columnCount = 4
const keyCount = 5

/** Cells hold where they were written: the change number, or -1 - key for the destination's own. */
interface Row {
  readonly cells: readonly number[]
  readonly writtenBy: number | undefined
}

function naive(steps: readonly Step[], live: readonly number[]): Map<number, Row> {
  const rows = new Map<number, Row>(
    live.map((key) => [
      key,
      { cells: Array.from({ length: columnCount }, () => -1 - key), writtenBy: undefined },
    ]),
  )
  let removed: Row | undefined
  steps.forEach((step, change) => {
    if (step.op === 'd') {
      removed = rows.get(step.key)
      rows.delete(step.key)
      return
    }
    const isMove = step.op === 'i' && step.apart !== true && steps[change - 1]?.op === 'd'
    const before = isMove ? removed : rows.get(step.key)
    const cells = Array.from({ length: columnCount }, (_, column) =>
      step.absent?.includes(column) === true ? (before?.cells[column] ?? noSource) : change,
    )
    rows.set(step.key, { cells, writtenBy: change })
  })
  return rows
}

/** Histories a source can produce: no insert over a live row, no update of a missing one. */
function histories(): fc.Arbitrary<{ steps: Step[]; live: number[] }> {
  const absent = fc.subarray([1, 2, 3])
  const key = fc.nat(keyCount - 1)
  const wish = fc.record({ kind: fc.constantFrom('i', 'u', 'd', 'move'), key, to: key, absent })
  return fc
    .record({ live: fc.subarray([0, 1, 2, 3, 4]), wishes: fc.array(wish, { maxLength: 30 }) })
    .map(({ live, wishes }) => {
      const present = new Set(live)
      const steps: Step[] = []
      for (const { kind, key: at, to, absent: columns } of wishes) {
        if (kind === 'i' && !present.has(at)) {
          steps.push({ op: 'i', key: at, apart: true })
          present.add(at)
        } else if (kind === 'u' && present.has(at)) {
          steps.push({ op: 'u', key: at, absent: columns, apart: true })
        } else if (kind === 'd' && present.delete(at)) {
          steps.push({ op: 'd', key: at, apart: true })
        } else if (kind === 'move' && present.has(at) && (to === at || !present.has(to))) {
          steps.push({ op: 'd', key: at, apart: true }, { op: 'i', key: to, absent: columns })
          present.delete(at)
          present.add(to)
        }
      }
      return { steps, live }
    })
}
