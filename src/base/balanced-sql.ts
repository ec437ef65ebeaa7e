/** Long expressions that are no deeper than they have to be: engines bound how deep one may be. */

/** `a || b || c || d` as `((a || b) || (c || d))`; at least one term, and an associative operator. */
export function balancedSql(terms: readonly string[], operator: string): string {
  if (terms.length <= 1) return terms[0] ?? ''
  const middle = terms.length >> 1
  const left = balancedSql(terms.slice(0, middle), operator)
  return `(${left} ${operator} ${balancedSql(terms.slice(middle), operator)})`
}
