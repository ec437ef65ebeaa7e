/**
 * Typed reading of one map of the resource file. Every wrong thing is reported to the context and
 * reading goes on, so that a person sees all errors of the file at once.
 */
import { isMap, isScalar, isSeq, type Node, type YAMLMap } from 'yaml'
import type { ConfigContext, MapEntry } from './config-context.ts'
import type { Place } from './config-problem.ts'
import { nearest } from './nearest.ts'
import { expandTemplate, parseTemplate } from './template.ts'

/** The keys a map may have. */
export interface KnownKeys {
  readonly used: readonly string[]
  /** Accepted, so that existing files can be brought along, and without effect. */
  readonly ignored?: readonly string[]
  /** Known and refused; the text says what to do instead. */
  readonly unsupported?: Readonly<Record<string, string>>
}

export class ConfigMap {
  readonly context: ConfigContext
  readonly place: Place
  readonly entries: readonly MapEntry[]
  readonly #byKey: ReadonlyMap<string, MapEntry>

  constructor(context: ConfigContext, map: YAMLMap, place: Place) {
    this.context = context
    this.place = place
    this.entries = context.entries(map)
    this.#byKey = new Map(this.entries.map((entry) => [entry.key, entry]))
  }

  /** Reports keys that are not known, with the nearest known one. */
  checkKeys(known: KnownKeys): void {
    const unsupported = known.unsupported ?? {}
    for (const { key, keyNode } of this.entries) {
      if (known.used.includes(key)) continue
      const place = this.context.placeOf(keyNode, this.pathOf(key))
      if (known.ignored?.includes(key) === true) {
        this.context.warning('CONFIG_UNSUPPORTED', place, {
          message: `${place.path} has no effect here`,
        })
      } else if (Object.hasOwn(unsupported, key)) {
        const remedy = unsupported[key] ?? ''
        this.context.error('CONFIG_UNSUPPORTED', place, {
          message: `${place.path} is not supported in this version`,
          ...(remedy === '' ? {} : { remedy }),
        })
      } else this.#reportUnknown(key, place, known)
    }
  }

  #reportUnknown(key: string, place: Place, known: KnownKeys): void {
    const all = [...known.used, ...(known.ignored ?? [])]
    const guess = nearest(key, all)
    this.context.error('CONFIG_UNKNOWN_KEY', place, {
      message: `unknown key "${key}" in ${this.place.path === '' ? 'the file' : this.place.path}`,
      remedy:
        guess === undefined
          ? `Known keys here: ${known.used.join(', ')}.`
          : `Did you mean "${guess}"?`,
    })
  }

  pathOf(key: string): string {
    return this.place.path === '' ? key : `${this.place.path}.${key}`
  }

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  /** Place of the key, or of the map when the key is not there. */
  placeOfKey(key: string): Place {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return { ...this.place, path: this.pathOf(key) }
    return this.context.placeOf(entry.keyNode, this.pathOf(key))
  }

  require(key: string): void {
    if (this.has(key)) return
    this.context.error('CONFIG_MISSING_KEY', this.placeOfKey(key), {
      message: `${this.place.path} needs the key "${key}"`,
      remedy: `Add "${key}: ..." under ${this.place.path}.`,
    })
  }

  /** Text or a number as written, references still in it; undefined when missing or reported. */
  template(key: string): string | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    const raw = rawText(entry.value)
    if (raw === undefined) {
      this.wrongType(key, 'text', entry.value)
      return undefined
    }
    return this.#referencesAreFine(key, raw) ? raw : undefined
  }

  /** Text with `${env.X}` filled in. */
  text(key: string): string | undefined {
    const template = this.template(key)
    if (template === undefined) return undefined
    const text = expandTemplate(template, this.context.env)
    if (text !== '') return text
    this.context.error('CONFIG_INVALID_VALUE', this.placeOfKey(key), {
      message: `${this.pathOf(key)} is empty`,
      remedy: `Give a value for "${key}".`,
    })
    return undefined
  }

  /** Like `text`, and `true` or `false` without quotes counts as text too. */
  flatText(key: string): string | undefined {
    const value = this.#byKey.get(key)?.value
    if (isScalar(value) && typeof value.value === 'boolean') return String(value.value)
    return this.text(key)
  }

  /** Text exactly as written, without looking at references. */
  rawText(key: string): string | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    const raw = rawText(entry.value)
    if (raw === undefined) this.wrongType(key, 'text', entry.value)
    return raw
  }

  boolean(key: string): boolean | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    const value = isScalar(entry.value) ? entry.value.value : undefined
    if (typeof value === 'boolean') return value
    this.wrongType(key, 'true or false', entry.value)
    return undefined
  }

  /** One of `values`, exactly; `unsupported` ones are known but refused. */
  oneOf<T extends string>(
    key: string,
    values: readonly T[],
    unsupported: readonly string[] = [],
  ): T | undefined {
    const text = this.text(key)
    if (text === undefined) return undefined
    const value = values.find((known) => known === text)
    if (value !== undefined) return value
    const place = this.placeOfKey(key)
    if (unsupported.includes(text)) {
      this.context.error('CONFIG_UNSUPPORTED', place, {
        message: `${place.path}: ${text} is not supported in this version`,
        remedy: `Supported: ${values.join(', ')}.`,
      })
      return undefined
    }
    const guess = nearest(text, values)
    this.context.error('CONFIG_INVALID_VALUE', place, {
      message: `${place.path} is ${this.shown(key, text)}, which is none of ${values.join(', ')}`,
      ...(guess === undefined ? {} : { remedy: `Did you mean "${guess}"?` }),
    })
    return undefined
  }

  /** A list of texts, none empty, none twice. */
  texts(key: string): readonly string[] | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    if (!isSeq(entry.value)) {
      this.wrongType(key, 'a list of texts', entry.value)
      return undefined
    }
    const texts: string[] = []
    for (const [index, item] of entry.value.items.entries()) {
      const node = this.context.resolve(item)
      const place = this.context.placeOf(node, `${this.pathOf(key)}[${index}]`)
      const text = rawText(node)
      if (text === undefined || text === '') {
        this.context.error('CONFIG_WRONG_TYPE', place, {
          message: `${place.path} must be text, not ${describe(node)}`,
        })
      } else if (texts.includes(text)) {
        this.context.error('CONFIG_INVALID_VALUE', place, {
          message: `${place.path}: "${text}" is listed twice`,
          remedy: 'Remove one of the two.',
        })
      } else texts.push(text)
    }
    return texts
  }

  map(key: string): ConfigMap | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    const place = this.context.placeOf(entry.keyNode, this.pathOf(key))
    return configMap(this.context, entry.value, place)
  }

  /** Every entry as a map: `resources.connections`. Wrong ones are reported and left out. */
  maps(): readonly (readonly [key: string, map: ConfigMap])[] {
    return this.entries.flatMap(({ key }) => {
      const map = this.map(key)
      return map === undefined ? [] : [[key, map] as const]
    })
  }

  /** The items of a list of maps. */
  list(key: string): readonly ConfigMap[] | undefined {
    const entry = this.#byKey.get(key)
    if (entry === undefined) return undefined
    if (!isSeq(entry.value)) {
      this.wrongType(key, 'a list', entry.value)
      return undefined
    }
    return entry.value.items.flatMap((item, index) => {
      const node = this.context.resolve(item)
      const place = this.context.placeOf(node, `${this.pathOf(key)}[${index}]`)
      const map = configMap(this.context, node, place)
      return map === undefined ? [] : [map]
    })
  }

  /** The value for a message, or only its reference when it came from the environment. */
  shown(key: string, text: string): string {
    const raw = rawText(this.#byKey.get(key)?.value) ?? ''
    const isPlain = parseTemplate(raw).every((part) => part.kind === 'text')
    return isPlain ? `"${text}"` : `the value of ${raw}`
  }

  wrongType(key: string, wanted: string, node: Node | undefined): void {
    const place = this.placeOfKey(key)
    this.context.error('CONFIG_WRONG_TYPE', place, {
      message: `${place.path} must be ${wanted}, not ${describe(node)}`,
    })
  }

  #referencesAreFine(key: string, raw: string): boolean {
    const place = this.placeOfKey(key)
    let isFine = true
    for (const part of parseTemplate(raw)) {
      if (part.kind === 'env' && this.context.env[part.name] === undefined) {
        this.context.error('CONFIG_ENV_UNSET', place, {
          message: `${place.path} refers to the environment variable ${part.name}, which is not set`,
          remedy: `export ${part.name}=...`,
        })
        isFine = false
      } else if (part.kind === 'unclosed' || part.kind === 'reference') {
        const what = part.kind === 'unclosed' ? 'an unclosed "${"' : `\${${part.path}}`
        this.context.error('CONFIG_UNKNOWN_REFERENCE', place, {
          message: `${place.path} holds ${what}, which means nothing here`,
          remedy: 'Write ${env.NAME} for an environment variable, or $${ for a plain "${".',
        })
        isFine = false
      }
    }
    return isFine
  }
}

/** The node as a map; reported and undefined when it is something else. */
export function configMap(
  context: ConfigContext,
  node: Node | undefined,
  place: Place,
): ConfigMap | undefined {
  if (isMap(node)) return new ConfigMap(context, node, place)
  context.error('CONFIG_WRONG_TYPE', place, {
    message: `${place.path === '' ? 'the file' : place.path} must be a map of keys, not ${describe(node)}`,
  })
  return undefined
}

/** Numbers as they are written: a password of 007 must stay one. */
function rawText(node: Node | undefined): string | undefined {
  if (!isScalar(node)) return undefined
  if (typeof node.value === 'string') return node.value
  const isNumber = typeof node.value === 'number' || typeof node.value === 'bigint'
  return isNumber ? (node.source ?? String(node.value)) : undefined
}

/** The kind of a value, never the value. */
function describe(node: Node | undefined): string {
  if (isMap(node)) return 'a map'
  if (isSeq(node)) return 'a list'
  const value = isScalar(node) ? node.value : undefined
  if (value === null || value === undefined) return 'empty'
  return typeof value === 'boolean' ? `${value}` : `a ${typeof value}`
}
