/** Options that people are shown, given with a password in them: to be refused, never repeated. */

export type ShownOption = 'host' | 'user' | 'database'

/** What in the text of the option looks like a password beside it, without the text. */
export function misplacedSecret(option: ShownOption, text: string): string | undefined {
  if (text.includes('://')) return 'is a URL'
  if (/\bpassword\s*=/i.test(text)) return 'holds "password="'
  // A host that begins with a slash is the folder of a socket, and an address has colons of its own.
  if (option === 'host' && text.split(',').some((one) => /^\s*[^/\s][^,]*@|^\s*@/.test(one))) {
    return 'holds "@"'
  }
  if (option === 'user' && text.includes(':')) return 'holds ":", as user:password would'
  return undefined
}

/** What the option is to hold instead. */
export const shownOptionRemedies: Readonly<Record<ShownOption, string>> = {
  host: 'Give the name of the server alone, and user, password and database in their own options.',
  user: 'Give the name of the role alone, and the password in option password, password_file or password_command.',
  database:
    'Give the name of the database alone, and the password in option password, password_file or password_command.',
}
