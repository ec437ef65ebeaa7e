/** Which files an update rewrites while it is at it, so that dead rows and small files stay bounded. Pure. */

/** A live file as it will be after the update. */
export interface FileLoad {
  readonly sizeBytes: number
  /** Rows in the file, dead ones included; undefined: unknown, such a file is left alone. */
  readonly rows: number | undefined
  readonly deadRows: number
}

export interface RewriteChoice {
  /** Indexes of files whose live rows move into the update's own file. */
  readonly merged: readonly number[]
  /** Indexes of large files with many dead rows, rewritten into files of their own. */
  readonly rewritten: readonly number[]
}

/** Beyond this share of dead rows a reader wastes more than one rewrite costs. */
const deadShare = 0.3
/** Files below are tiny: rewriting them for their dead rows alone is not worth a file. */
const tinyBytes = 2 ** 20
/** What one update rewrites of large files at most, so that it stays prompt; the deadest first. */
const rewriteBudgetBytes = 256 * 2 ** 20
/** Files of one size class that are merged once there are this many. */
const mergeCount = 10
/** Larger files are not merged: that would be too much for one prompt update. */
const largeBytes = 2 * 2 ** 20

export function chooseRewrites(files: readonly FileLoad[]): RewriteChoice {
  const merged = chooseMerged(files)
  const taken = new Set(merged)
  const share = (index: number): number => {
    const file = files[index]
    return file?.rows === undefined ? 0 : file.deadRows / Math.max(1, file.rows)
  }
  const wasteful = files
    .map((_, index) => index)
    .filter((index) => {
      const isTiny = (files[index]?.sizeBytes ?? 0) < tinyBytes
      return !isTiny && !taken.has(index) && share(index) > deadShare
    })
    .toSorted((a, b) => share(b) - share(a))
  const rewritten: number[] = []
  let bytes = 0
  for (const index of wasteful) {
    bytes += files[index]?.sizeBytes ?? 0
    if (rewritten.length > 0 && bytes > rewriteBudgetBytes) break
    rewritten.push(index)
  }
  return { merged, rewritten }
}

/** All files of the smallest size class that is full: every row is rewritten once per class. */
function chooseMerged(files: readonly FileLoad[]): readonly number[] {
  const classes = new Map<number, number[]>()
  files.forEach(({ sizeBytes, rows }, index) => {
    if (sizeBytes >= largeBytes || rows === undefined) return
    const sizeClass = Math.floor(Math.log2(Math.max(sizeBytes, 2 ** 15)) / 3)
    classes.set(sizeClass, [...(classes.get(sizeClass) ?? []), index])
  })
  const full = [...classes]
    .filter(([, members]) => members.length >= mergeCount)
    .toSorted(([a], [b]) => a - b)
  return full[0]?.[1] ?? []
}
