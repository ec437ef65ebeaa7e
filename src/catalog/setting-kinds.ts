/** How the text of a setting is read: numbers, sizes, durations, choices. Pure. */

export interface SettingKind<T> {
  /** What a good value looks like, for an error: `a whole number from 1 to 16`. */
  readonly wanted: string
  /** undefined: the text is none. */
  parse(text: string): T | undefined
}

export function integer(least: number, most: number): SettingKind<number> {
  return {
    wanted: `a whole number from ${least} to ${most}`,
    parse(text) {
      if (!/^\d{1,15}$/.test(text)) return undefined
      const value = Number(text)
      return value >= least && value <= most ? value : undefined
    },
  }
}

export function boolean(): SettingKind<boolean> {
  return {
    wanted: 'true or false',
    parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
  }
}

export function choice<T extends string>(...values: readonly T[]): SettingKind<T> {
  return {
    wanted: `one of ${values.join(', ')}`,
    parse: (text) => values.find((value) => value === text),
  }
}

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** In milliseconds; written `500ms`, `30s`, `5min`, `2h`, `30d`. `off` where 0 has a meaning. */
export function duration(leastMs: number, mostMs: number): SettingKind<number> {
  return {
    wanted: `a time such as 30s or 5min, from ${leastMs} ms to ${mostMs} ms`,
    parse(text) {
      if (text === 'off') return leastMs === 0 ? 0 : undefined
      const match = /^(\d{1,12})\s*(ms|s|min|h|d)$/.exec(text)
      const value = Number(match?.[1]) * (durationUnits[match?.[2] ?? ''] ?? Number.NaN)
      return value >= leastMs && value <= mostMs ? value : undefined
    },
  }
}

const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** In bytes; written `65536`, `64MiB`, `10GB`. `off` where 0 has a meaning. */
export function bytesSize(least: number, most: number): SettingKind<number> {
  return {
    wanted: `a size such as 64MiB or 10GB, from ${least} to ${most} bytes`,
    parse(text) {
      if (text === 'off') return least === 0 ? 0 : undefined
      const match = /^(\d{1,15})\s*(|B|kB|MB|GB|KiB|MiB|GiB|TiB)$/.exec(text)
      const value = Number(match?.[1]) * (sizeUnits[match?.[2] ?? ''] ?? Number.NaN)
      return value >= least && value <= most ? value : undefined
    },
  }
}
