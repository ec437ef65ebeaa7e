/**
 * Where the password of a connection comes from. Asked anew at every connect, when the server asks
 * for one, so that a rotated password or a token of short life is picked up without a restart.
 */
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { SluiceError } from '../../base/errors.ts'
import { findPassword, type PassFileQuestion } from './pass-file.ts'

/**
 * undefined: there is none. Rejects with SOURCE_PASSWORD_UNAVAILABLE, which says where it looked and
 * never what it saw.
 */
export type PasswordSource = (
  question: PassFileQuestion,
  limit?: PasswordLimit,
) => Promise<string | undefined>

/** How long a command may take. */
export interface PasswordLimit {
  /** What is left of it. */
  readonly leftMs: number
  readonly connectTimeoutMs: number
}

/** At most one of them is given. */
export interface PasswordOptions {
  readonly password?: string | undefined
  /** A file that holds the password alone. */
  readonly passwordFile?: string | undefined
  /** A command line whose output is the password. */
  readonly passwordCommand?: string | undefined
  /** A password file of libpq; default `~/.pgpass`. */
  readonly passFile?: string | undefined
}

const mostBytes = 64 * 1024
const usualLimit: PasswordLimit = { leftMs: 15_000, connectTimeoutMs: 15_000 }

function unavailable(message: string, remedy?: string): SluiceError {
  return new SluiceError(
    'SOURCE_PASSWORD_UNAVAILABLE',
    message,
    remedy === undefined ? {} : { remedy },
  )
}

export function createPasswordSource(options: PasswordOptions): PasswordSource {
  const { password, passwordFile, passwordCommand, passFile } = options
  if (passwordFile !== undefined) return async () => await readPasswordFile(passwordFile)
  if (passwordCommand !== undefined) {
    return async (_, limit = usualLimit) => await runPasswordCommand(passwordCommand, limit)
  }
  if (password !== undefined) return async () => await Promise.resolve(password)
  return async (question) => await readPassFile(passFile, question)
}

/** What a text file or an output holds, without the line end that editors and `echo` add. */
function onlyLine(text: string, from: string): string {
  const line = text.replace(/\r?\n$/, '')
  if (line === '') throw unavailable(`${from} is empty`)
  if (/[\0\r\n]/.test(line)) throw unavailable(`${from} has more than one line`)
  return line
}

interface SmallFile {
  readonly text: string
  readonly isForOthers: boolean
}

/** undefined: there is no such file. */
async function readSmallFile(path: string, what: string): Promise<SmallFile | undefined> {
  try {
    const file = await open(path)
    try {
      const { mode, size } = await file.stat()
      if (size > mostBytes)
        throw unavailable(`The ${what} ${path} is larger than ${mostBytes} bytes`)
      const isForOthers = process.platform !== 'win32' && (mode & 0o077) !== 0
      return { text: await file.readFile('utf8'), isForOthers }
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof SluiceError) throw error
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
    if (reason === 'ENOENT') return undefined
    throw unavailable(`The ${what} ${path} cannot be read: ${reason}`)
  }
}

async function readPasswordFile(path: string): Promise<string> {
  const what = 'file of option password_file,'
  const file = await readSmallFile(path, what)
  if (file === undefined) throw unavailable(`The ${what} ${path}, does not exist`)
  return onlyLine(file.text, `The ${what} ${path},`)
}

async function readPassFile(
  path: string | undefined,
  question: PassFileQuestion,
): Promise<string | undefined> {
  const place = path ?? join(homedir(), '.pgpass')
  const file = await readSmallFile(place, 'password file')
  if (file === undefined) {
    if (path === undefined) return undefined
    throw unavailable(`The password file ${place} does not exist`)
  }
  if (file.isForOthers) {
    throw unavailable(
      `Others than its owner may read the password file ${place}, so it is not used`,
      `chmod 0600 ${place}`,
    )
  }
  return findPassword(file.text, question)
}

/** Runs it in a shell and a process group of its own, which ends in time and with this process. */
async function runPasswordCommand(command: string, limit: PasswordLimit): Promise<string> {
  const from = 'The output of option password_command'
  const child = spawn(command, {
    shell: true,
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      child.kill('SIGKILL')
    }
  }
  const chunks: Buffer[] = []
  let bytes = 0
  let problem: string | undefined
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= mostBytes) chunks.push(chunk)
    else {
      problem = `${from} is larger than ${mostBytes} bytes`
      kill()
    }
  })
  const timer = setTimeout(() => {
    problem = `The command of option password_command did not end within connect_timeout (${limit.connectTimeoutMs / 1000} s)`
    kill()
  }, limit.leftMs)
  process.once('exit', kill)
  const end = await new Promise<string>((resolve) => {
    child.once('error', () => resolve('could not be started'))
    child.once('close', (code, signal) => {
      if (code === 0) resolve('')
      else resolve(code === null ? `was ended by ${signal}` : `ended with exit code ${code}`)
    })
  }).finally(() => {
    clearTimeout(timer)
    process.off('exit', kill)
  })
  if (problem !== undefined) throw unavailable(problem)
  if (end !== '') throw unavailable(`The command of option password_command ${end}`)
  return onlyLine(Buffer.concat(chunks).toString('utf8'), from)
}
