/** The streams and signals of the process, as commands see them. */
import type { WriteStream } from 'node:tty'
import type { Terminal } from './output.ts'

export interface ProcessTerminals {
  readonly stdout: Terminal
  readonly stderr: Terminal
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP, and when nobody reads standard output any more. */
  readonly signal: AbortSignal
  /** True once the reader of standard output has gone away (`| head`): not an error. */
  isBroken(): boolean
}

/**
 * One Ctrl-C may arrive twice: from the terminal, and forwarded by npm. What comes this soon after
 * the first is the first.
 */
const sameSignalMs = 500

/** `onSecondSignal` ends the process at once. */
export function openProcessTerminals(
  onSecondSignal: () => void,
  echoMs = sameSignalMs,
): ProcessTerminals {
  const controller = new AbortController()
  let isBroken = false
  const brokenPipe = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error
    isBroken = true
    controller.abort()
  }
  process.stdout.on('error', brokenPipe)
  // Nobody to tell it to.
  process.stderr.on('error', () => undefined)
  let firstAtMs: number | undefined
  const onSignal = (): void => {
    if (firstAtMs !== undefined && performance.now() - firstAtMs >= echoMs) onSecondSignal()
    firstAtMs ??= performance.now()
    controller.abort()
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal)
  return {
    stdout: terminalOf(process.stdout, () => isBroken),
    stderr: terminalOf(process.stderr, () => false),
    signal: controller.signal,
    isBroken: () => isBroken,
  }
}

function terminalOf(stream: WriteStream, isBroken: () => boolean): Terminal {
  return {
    write: (text) => {
      if (!isBroken()) stream.write(text)
    },
    // A pipe has no `isTTY`, whatever its type says.
    get isTty() {
      return (stream.isTTY as boolean | undefined) === true
    },
    get columns() {
      return (stream.columns as number | undefined) ?? undefined
    },
    get rows() {
      return (stream.rows as number | undefined) ?? undefined
    },
  }
}
