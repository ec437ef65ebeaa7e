/** Text that goes into SQL: every name and literal passes through one of these. */

/** A name in double quotes. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text literal in single quotes; backslashes have no meaning in it. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** `['a', 'b']`: a list of text literals, for `read_parquet` and the like. */
export function quoteTextList(texts: readonly string[]): string {
  return `[${texts.map(quoteText).join(', ')}]`
}
