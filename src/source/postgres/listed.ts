/** Lists for people: the first ones, and how many more there are. */

const mostListed = 20

export function listed(texts: readonly string[], separator: string): string {
  const more = texts.length - mostListed
  const some = texts.slice(0, mostListed).join(separator)
  return more > 0 ? `${some}${separator}and ${more} more` : some
}
