/** Text for terminals: width, cutting, and words for numbers, bytes and time. */

/** Characters that take two columns: CJK, Hangul, full-width forms, emoji. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u

/** Characters that take none: combining marks, joiners, variation selectors. */
const zero = /[\p{Mn}\p{Me}\u200b-\u200f\u2060\ufeff]/u

// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Control characters spelled out: data must never move the cursor or set a colour. */
export function printable(text: string): string {
  return text.replaceAll(control, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')
    return named[character] ?? `\\u${code}`
  })
}

function characterWidth(character: string): number {
  if (zero.test(character)) return 0
  return wide.test(character) ? 2 : 1
}

/** Columns that `text`, without escape sequences, takes on a terminal. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of text) width += characterWidth(character)
  return width
}

/** At most `width` columns; the end gives way to `…`. */
export function cut(text: string, width: number, mark = '…'): string {
  if (displayWidth(text) <= width) return text
  let used = 0
  let kept = ''
  for (const character of text) {
    const next = characterWidth(character)
    if (used + next > width - displayWidth(mark)) break
    used += next
    kept += character
  }
  return width < displayWidth(mark) ? '' : kept + mark
}

export function padRight(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}

export function padLeft(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text
}

/** 1234567 → `1,234,567`. */
export function formatCount(count: number | bigint): string {
  const digits = typeof count === 'bigint' ? count.toString() : Math.round(count).toString()
  return digits.replaceAll(/\B(?=(\d{3})+$)/g, ',')
}

/** `1 row`, `2 rows`. */
export function countOf(count: number | bigint, singular: string, plural = `${singular}s`): string {
  return `${formatCount(count)} ${Number(count) === 1 ? singular : plural}`
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** `1.5 GiB`. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes)
  let unit = 0
  while (Math.abs(value) >= 1024 && unit < byteUnits.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)} ${byteUnits[unit] ?? ''}`
}

/** `0.8 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'unknown'
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`
  const whole = Math.round(seconds)
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor((whole % 86_400) / 3600)]
  const [minutes, rest] = [Math.floor((whole % 3600) / 60), whole % 60]
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${rest} s` : `${rest} s`
}
