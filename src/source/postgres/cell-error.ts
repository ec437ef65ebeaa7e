/** How cell decoders complain. A message never holds the cell's text. */
import { SluiceError } from '../../base/errors.ts'

/** `at` is the offset of the byte that does not fit, counted from the first byte of the cell. */
export function malformedCell(type: string, at: number): SluiceError {
  return new SluiceError(
    'SOURCE_VALUE_MALFORMED',
    `A cell does not read as ${type}: byte ${at} does not fit.`,
  )
}

/** The same error, saying where: `place` is a column, or a table and a column. */
export function cellErrorAt(error: unknown, place: string): unknown {
  if (!(error instanceof SluiceError)) return error
  return new SluiceError(error.code, `Column ${place}: ${error.message}`, { cause: error })
}
