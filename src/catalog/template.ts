/** Text with references: `${env.X}` and `${resources.…}`; `$${` stands for a plain `${`. */

export type Environment = Readonly<Record<string, string | undefined>>

export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'env'; readonly name: string }
  /** Any other `${…}`; the text between the braces. */
  | { readonly kind: 'reference'; readonly path: string }
  /** `${` without an end. */
  | { readonly kind: 'unclosed' }

const envPattern = /^\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*$/

export function parseTemplate(text: string): readonly TemplatePart[] {
  const parts: TemplatePart[] = []
  let plain = ''
  let at = 0
  const flush = (): void => {
    if (plain !== '') parts.push({ kind: 'text', text: plain })
    plain = ''
  }
  while (at < text.length) {
    if (text.startsWith('$${', at)) {
      plain += '${'
      at += 3
    } else if (text.startsWith('${', at)) {
      flush()
      const end = text.indexOf('}', at)
      if (end < 0) return [...parts, { kind: 'unclosed' }]
      const inner = text.slice(at + 2, end)
      const name = envPattern.exec(inner)?.[1]
      parts.push(
        name === undefined ? { kind: 'reference', path: inner.trim() } : { kind: 'env', name },
      )
      at = end + 1
    } else {
      plain += text[at]
      at++
    }
  }
  flush()
  return parts
}

/** Names of the environment variables that the text refers to and that are not set. */
export function unsetVariables(template: string, env: Environment): readonly string[] {
  return parseTemplate(template).flatMap((part) =>
    part.kind === 'env' && env[part.name] === undefined ? [part.name] : [],
  )
}

/** The text with the environment filled in; what is unset or no `env` reference becomes empty. */
export function expandTemplate(template: string, env: Environment): string {
  return parseTemplate(template)
    .map((part) => {
      if (part.kind === 'text') return part.text
      return part.kind === 'env' ? (env[part.name] ?? '') : ''
    })
    .join('')
}
