import type { ErrorDefinition } from '../errors.ts'

export const baseErrors = {
  INTERNAL_ERROR: {
    when: 'Something happened that the program did not foresee.',
    remedy: 'Run again with --log-level debug and report the output as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
  ABORTED: {
    when: 'The work was stopped by a signal or by the person who asked for it.',
    remedy: 'Start it again; it goes on where it stopped.',
    retry: 'never',
    exitCode: 1,
  },
  STORAGE_FULL: {
    when: 'The disk or the quota under a storage folder is used up. Nothing half-written is left.',
    remedy: 'Free space, or move the folder to a bigger disk; the work goes on where it stopped.',
    retry: 'backoff',
    exitCode: 1,
  },
  STORAGE_FORBIDDEN: {
    when: 'The process may not read or write a storage path.',
    remedy: 'Give the user that runs Sluice read and write rights on the folder.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STORAGE_OBJECT_MISSING: {
    when: 'An object that must be there is missing, or shorter than the log says.',
    remedy: 'Restore the object; if it is lost, run a full refresh of the table it belongs to.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STORAGE_UNSUITABLE: {
    when: 'The file system lacks what safe commits need (hard links).',
    remedy: 'Put the folder on a file system with hard links, such as ext4, XFS, APFS or NFS.',
    retry: 'after-remedy',
    exitCode: 1,
  },
  STORAGE_FAILED: {
    when: 'Reading or writing a storage path failed for another reason, named in the message.',
    remedy: 'Check the disk or the network behind the path; the work is tried again by itself.',
    retry: 'backoff',
    exitCode: 1,
  },
  ENGINE_OUT_OF_MEMORY: {
    when: 'A statement of the embedded SQL engine did not fit its memory, and it may not take more.',
    remedy:
      'Give the machine more memory (the engine takes up to a quarter of it), or run fewer things beside.',
    retry: 'backoff',
    exitCode: 1,
  },
  ENGINE_FAILED: {
    when: 'The embedded SQL engine refused or could not finish a statement.',
    remedy:
      'Look at the message: free disk space or memory if it names one, else report it as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
