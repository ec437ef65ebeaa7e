import { expect, test } from 'vitest'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { readableKey } from './readable-key.ts'

const bitsOf = (value: number, size: 32 | 64): string => {
  const view = new DataView(new ArrayBuffer(8))
  if (size === 32) view.setFloat32(0, value)
  else view.setFloat64(0, value)
  return view.getBigUint64(0).toString(2).padStart(64, '0').slice(0, size)
}

const cases: readonly (readonly [CanonicalType, string, string])[] = [
  [{ kind: 'int64' }, '-7', '-7'],
  [{ kind: 'boolean' }, 'f', 'false'],
  [{ kind: 'string' }, 'ö:v1', 'ö:v1'],
  [{ kind: 'binary' }, '00ff', '\\x00ff'],
  [{ kind: 'float64' }, bitsOf(0, 64), '0'],
  [{ kind: 'float64' }, bitsOf(-0, 64), '-0'],
  [{ kind: 'float64' }, bitsOf(0.1, 64), '0.1'],
  [{ kind: 'float64' }, bitsOf(-Infinity, 64), '-Infinity'],
  [{ kind: 'float64' }, 'NaN', 'NaN'],
  [{ kind: 'float32' }, bitsOf(-0, 32), '-0'],
  [{ kind: 'float32' }, bitsOf(1.1, 32), '1.1'],
  [{ kind: 'float32' }, bitsOf(16777217, 32), '16777216'],
  [{ kind: 'decimal', precision: 6, scale: 2 }, '-5', '-0.05'],
  [{ kind: 'decimal', precision: 6, scale: 0 }, '12', '12'],
  [{ kind: 'date' }, '18419', '2020-06-06'],
  [{ kind: 'date' }, '-719162', '0001-01-01'],
  [{ kind: 'timestamp' }, '-1', '1969-12-31 23:59:59.999999+00'],
  [{ kind: 'timestamp_ntz' }, '1591405323500000', '2020-06-06 01:02:03.5'],
]

test.each(cases)('trap: a key of %o is named as people write it: %s', (type, text, readable) => {
  const framed = `v${Buffer.byteLength(text)}:${text}nv1:2`
  const key = [
    { name: 'k', type },
    { name: 'b', type },
    { name: 'c', type: { kind: 'int32' } as const },
  ]
  expect(readableKey(framed, key)).toBe(`k=${readable}, b=NULL, c=2`)
})
