/** Where staging and lake live: one folder-like root of an object store or of a local disk. */

export interface ObjectInfo {
  /** Relative to the root, `/` between parts. */
  readonly path: string
  readonly sizeBytes: number
  /** When its bytes were written. */
  readonly modifiedAtMs: number
  /** When it came to be under this name, or later: a linked object may be much older than its name. */
  readonly arrivedAtMs: number
}

/** Appends to a new object that becomes visible, whole and durable, at `close`. */
export interface ObjectWriter {
  /** The bytes are not looked at any more once it resolves. */
  write(bytes: Uint8Array | readonly Uint8Array[]): Promise<void>
  /** Durable (fsync of file and folder on a disk) and visible when it resolves. Returns the size. */
  close(): Promise<number>
  /** Forgets everything written. Safe to call after a failure; does nothing after `close`. */
  abort(): Promise<void>
}

/** All paths are relative to the root. Errors are coded: STORAGE_* with the path in the message. */
export interface ObjectStorage {
  /** For messages only. */
  readonly url: string
  /** undefined when there is no such object. */
  read(path: string): Promise<Uint8Array | undefined>
  /** `start` inclusive, `end` exclusive, in bytes. Throws when the object is missing or shorter. */
  readRange(path: string, start: number, end: number): Promise<Uint8Array>
  /** Whole-object durable write that replaces; readers see the old or the new bytes, never a mix. */
  write(path: string, bytes: Uint8Array): Promise<void>
  /** The one atomic primitive everything rests on: durable and visible at once; false when the path exists. */
  writeIfAbsent(path: string, bytes: Uint8Array): Promise<boolean>
  openWriter(path: string): Promise<ObjectWriter>
  /**
   * Server-side copy or hard link from a store of the same kind; the bytes are not read. Durable.
   * Its modification time is now, whatever the source's was (which may change with it).
   */
  linkFrom(source: ObjectStorage, sourcePath: string, path: string): Promise<void>
  /** Objects whose path starts with `prefix`, ascending by path, optionally only those after `startAfter`. */
  list(prefix: string, startAfter?: string): AsyncIterable<ObjectInfo>
  stat(path: string): Promise<ObjectInfo | undefined>
  /** Missing objects are not an error. */
  delete(path: string): Promise<void>
  /** Path that a local engine (DuckDB) can open; undefined when the object is not on this machine. */
  localPath(path: string): string | undefined
}
