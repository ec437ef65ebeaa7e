/** SQL literals for the tests' lists of values. */

export const quoted = (...texts: string[]): readonly string[] =>
  texts.map((text) => `'${text.replaceAll("'", "''")}'`)
