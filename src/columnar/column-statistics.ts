/** Facts about one column of one file, in an engine-neutral text form that survives JSON. */
export interface ColumnStatistics {
  readonly name: string
  readonly nullCount: number
  /**
   * Smallest and largest value, undefined when unknown or not meaningful (all NULL, NaN present,
   * boolean, binary, array). Canonical text: integers and decimals in plain digits with exactly
   * `scale` fraction digits; floats as the shortest text that reads back equal; dates `YYYY-MM-DD`;
   * timestamps `YYYY-MM-DDTHH:MM:SS.ffffff` (UTC, no zone); strings as they are, cut to at most
   * 32 code points, the maximum raised after a cut so that it stays an upper bound in UTF-8 byte
   * order (undefined when that is impossible).
   */
  readonly min?: string
  readonly max?: string
}

export interface FileStatistics {
  readonly rowCount: number
  readonly columns: readonly ColumnStatistics[]
}
