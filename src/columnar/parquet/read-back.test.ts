/** Files are read back equal by two foreign readers, whatever is in the cells. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { absent, storedCell, type Cell } from '../../../test/support/cells.ts'
import { encodeFile, type TestColumn } from '../../../test/support/encode-file.ts'
import { queryByDuckDb, readByDuckDb, readByHyparquet } from '../../../test/support/read-parquet.ts'
import type { CanonicalType, ScalarType } from '../canonical-type.ts'

async function expectReadBack(rowGroups: readonly (readonly TestColumn[])[]): Promise<void> {
  const { bytes } = await encodeFile(rowGroups)
  const duckDb = await readByDuckDb(bytes)
  const hyparquet = await readByHyparquet(bytes)
  for (const [at, { name, type }] of (rowGroups[0] ?? []).entries()) {
    const cells = rowGroups.flatMap((group) => group[at]?.cells ?? [])
    const stored = cells.map((cell) => storedCell(type, cell))
    expect(duckDb[name], `${name} by DuckDB`).toEqual(stored)
    const decimal = elementOf(type)
    if (decimal.kind === 'decimal') {
      expectNumbers(hyparquet[name] ?? [], stored, decimal.scale)
    } else expect(hyparquet[name], `${name} by hyparquet`).toEqual(stored)
  }
}

function elementOf(type: CanonicalType): ScalarType {
  return type.kind === 'array' ? type.element : type
}

/** hyparquet gives decimals as doubles. */
function expectNumbers(actual: readonly Cell[], stored: readonly Cell[], scale: number): void {
  expect(actual.length).toBe(stored.length)
  for (const [at, cell] of stored.entries()) {
    const read = actual[at] ?? null
    if (Array.isArray(cell)) expectNumbers(read as readonly Cell[], cell, scale)
    else if (cell === null) expect(read).toBeNull()
    else {
      const expected = Number(cell) * 10 ** -scale
      expect(Math.abs(Number(read) - expected)).toBeLessThanOrEqual(Math.abs(expected) * 1e-12)
    }
  }
}

const ugly: readonly { readonly type: ScalarType; readonly cells: readonly Cell[] }[] = [
  { type: { kind: 'boolean' }, cells: [true, false, true] },
  { type: { kind: 'int8' }, cells: [-128, 127, 0, -1] },
  { type: { kind: 'int16' }, cells: [-32768, 32767, 0, -1] },
  { type: { kind: 'int32' }, cells: [-2147483648, 2147483647, 0, -1] },
  {
    type: { kind: 'int64' },
    cells: [-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n, 2n ** 32n, -(2n ** 32n), 2n ** 53n + 1n],
  },
  { type: { kind: 'float32' }, cells: [0, -0, 1.5, -Infinity, Infinity, NaN, 1e-45, 3.4e38, 0.1] },
  {
    type: { kind: 'float64' },
    cells: [0, -0, 0.1, -Infinity, Infinity, NaN, 5e-324, 1.7976931348623157e308],
  },
  ...[1, 9, 10, 18, 19, 38].map((precision) => ({
    type: { kind: 'decimal' as const, precision, scale: Math.floor(precision / 2) },
    cells: [10n ** BigInt(precision) - 1n, 1n - 10n ** BigInt(precision), 0n, 1n, -1n],
  })),
  { type: { kind: 'decimal', precision: 38, scale: 38 }, cells: [10n ** 38n - 1n, -1n] },
  { type: { kind: 'decimal', precision: 38, scale: 0 }, cells: [2n ** 64n, -(2n ** 64n)] },
  {
    type: { kind: 'string' },
    cells: [
      '',
      'a',
      '\u{1F600}',
      'a\u0000b',
      '\u0000',
      'mark\uFEFF',
      'ÿ',
      '\uFFFD',
      'x'.repeat(300),
    ],
  },
  {
    type: { kind: 'binary' },
    cells: [[], [0], [255], [0, 255, 0], Array<number>(200).fill(255)].map(
      (bytes) => new Uint8Array(bytes),
    ),
  },
  // 0001-01-01, 9999-12-31, the epoch and the day before it.
  { type: { kind: 'date' }, cells: [-719162, 2932896, 0, -1, 3_000_000, -800_000] },
  {
    type: { kind: 'timestamp' },
    cells: [
      -62_135_596_800_000_000n,
      253_402_300_799_999_999n,
      0n,
      -1n,
      9_000_000_000_000_000_000n,
    ],
  },
  {
    type: { kind: 'timestamp_ntz' },
    cells: [
      -62_135_596_800_000_000n,
      253_402_300_799_999_999n,
      0n,
      -1n,
      9_000_000_000_000_000_000n,
    ],
  },
]

for (const { type, cells } of ugly) {
  const label = 'precision' in type ? `decimal(${type.precision},${type.scale})` : type.kind
  test(`ugly values of ${label} are read back, alone, with NULLs and in lists`, async () => {
    const count = cells.length + 5
    const fill = (some: readonly Cell[]): Cell[] => {
      return [...some, ...Array<Cell>(count - some.length).fill(null)]
    }
    await expectReadBack([
      [
        {
          name: 'plain',
          type,
          cells: Array.from({ length: count }, (_, row) => cells[row % cells.length] ?? null),
        },
        { name: 'with_nulls', type, cells: fill([null, ...cells, null, absent]) },
        { name: 'all_null', type, cells: fill([]) },
        {
          name: 'list',
          type: { kind: 'array', element: type },
          cells: fill([[], cells, null, [null], [null, ...cells, null]]),
        },
      ],
    ])
  })
}

const scalarArbitrary: fc.Arbitrary<ScalarType> = fc.constantFrom(...ugly.map(({ type }) => type))

/** Without a byte order mark at the start, which DuckDB's JavaScript API takes away. */
const anyText = fc.string({ unit: 'binary' }).map((text) => text.replace(/^\uFEFF+/, ''))

function cellArbitrary(type: CanonicalType): fc.Arbitrary<Cell> {
  if (type.kind === 'array')
    return fc.array(optional(cellArbitrary(type.element)), { maxLength: 5 })
  switch (type.kind) {
    case 'boolean':
      return fc.boolean()
    case 'int8':
      return fc.integer({ min: -128, max: 127 })
    case 'int16':
      return fc.integer({ min: -32768, max: 32767 })
    case 'int32':
      return fc.integer()
    case 'date':
      return fc.integer({ min: -1_000_000, max: 4_000_000 })
    case 'int64':
    case 'timestamp':
    case 'timestamp_ntz':
      return fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n })
    case 'float32':
      return fc.float()
    case 'float64':
      return fc.double()
    case 'decimal': {
      const limit = 10n ** BigInt(type.precision) - 1n
      return fc.bigInt({ min: -limit, max: limit })
    }
    case 'string':
      return fc.oneof(fc.constantFrom('', 'same', 'other'), anyText)
    case 'binary':
      return fc.uint8Array({ maxLength: 80 })
    default:
      return type satisfies never
  }
}

function optional(cell: fc.Arbitrary<Cell>): fc.Arbitrary<Cell> {
  return fc.oneof(
    { weight: 5, arbitrary: cell },
    { weight: 1, arbitrary: fc.constantFrom(null, absent) },
  )
}

test('random batches are read back', async () => {
  const typeArbitrary: fc.Arbitrary<CanonicalType> = fc.oneof(
    scalarArbitrary,
    scalarArbitrary.map((element) => ({ kind: 'array' as const, element })),
  )
  const fileArbitrary = fc
    .tuple(
      fc.array(fc.tuple(typeArbitrary, fc.boolean()), { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
    )
    .chain(([types, sizes]) =>
      fc.tuple(
        ...sizes.map((size) =>
          fc.tuple(
            ...types.map(([type, isNullable], at) => {
              const cell = isNullable ? optional(cellArbitrary(type)) : cellArbitrary(type)
              return fc
                .array(cell, { minLength: size, maxLength: size })
                .map((cells) => ({ name: `c${at}`, type, cells }))
            }),
          ),
        ),
      ),
    )
  await fc.assert(
    fc.asyncProperty(fileArbitrary, async (groups) => {
      await expectReadBack(groups)
    }),
    { numRuns: 25 },
  )
})

test('a byte order mark at the start of a string is data', async () => {
  const type = { kind: 'string' as const }
  const { bytes, statistics } = await encodeFile([[{ name: 's', type, cells: ['\uFEFFmark'] }]])
  const rows = await queryByDuckDb(bytes, 'SELECT hex(s) AS hex FROM read_parquet($file)')
  expect(rows).toEqual([{ hex: 'EFBBBF6D61726B' }])
  expect(statistics.columns[0]?.min).toBe('\uFEFFmark')
})
