/**
 * How `verify` asks a running process to compare: a request file in the data folder, answered by
 * the process that runs the gateway, because only it can stop at a position.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asSluiceError, SluiceError, type Trouble, troubleOf } from '../base/errors.ts'
import { sleep, systemTimers } from '../base/timers.ts'
import type { VerifiedTable, VerifyOptions } from '../cli/app.ts'
import type { Context } from './context.ts'
import { decodeJson, encodeJson } from './exact-json.ts'
import { isAlive } from './live-status.ts'
import type { Lane } from './runtime.ts'
import { holdComparison } from './verify.ts'

const pollMs = 300

interface Request {
  readonly tables: readonly string[] | null
}

type Reply = { readonly tables: readonly VerifiedTable[] } | { readonly error: Trouble }

function folderOf(context: Context, gatewayId: string): string {
  return join(context.dataFolder, 'requests', gatewayId)
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.part`, text)
  await rename(`${file}.part`, file)
}

/**
 * Watches for a request until `signal`. When one comes it calls `pause` and resolves to the function
 * that answers it, to be called once the lane stands still; undefined when none came.
 */
export async function answerVerifyRequests(
  context: Context,
  lane: Lane,
  options: { readonly signal: AbortSignal; readonly pause: () => void },
): Promise<((signal: AbortSignal) => Promise<void>) | undefined> {
  const folder = folderOf(context, lane.gateway.definition.id)
  await removeOfDead(folder)
  while (!options.signal.aborted) {
    const names = await readdir(folder).catch(() => [])
    const name = names.find((candidate) => candidate.endsWith('.request.json'))
    if (name !== undefined) {
      options.pause()
      return async (signal) => await answer(context, lane, { file: join(folder, name), signal })
    }
    await sleep(systemTimers, pollMs, options.signal)
  }
  return undefined
}

/** Names of files begin with the process that asks: one that was killed takes nothing back. */
async function removeOfDead(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const processId = Number.parseInt(name, 10)
    if (!isAlive(processId)) await rm(join(folder, name), { force: true })
  }
}

/** The lane stands still only until both sides are held; comparing goes on beside the stream. */
async function answer(
  context: Context,
  lane: Lane,
  request: { readonly file: string; readonly signal: AbortSignal },
): Promise<void> {
  const { file, signal } = request
  const replyFile = file.replace(/\.request\.json$/, '.reply.json')
  const reply = async (value: Reply): Promise<void> =>
    await writeWhole(replyFile, encodeJson(value))
  const refuse = async (thrown: unknown): Promise<void> => {
    // An answer that cannot be written must not end the gateway.
    await reply({ error: troubleOf(asSluiceError(thrown)) }).catch((error: unknown) => {
      context.log.warn(`verify was not answered: ${String(error)}`)
    })
  }
  try {
    const text = await readFile(file, 'utf8').catch(() => undefined)
    await rm(file, { force: true })
    // Who asked has given up.
    if (text === undefined) return
    const { tables } = JSON.parse(text) as Request
    const comparison = await holdComparison(context, lane, signal)
    const compared = comparison.run({ tables: tables ?? undefined, signal })
    void compared.then(async (verified) => await reply({ tables: verified })).catch(refuse)
  } catch (error) {
    await refuse(error)
  }
}

/** Asks the process that runs the gateway and waits for its answer; undefined when it ended first. */
export async function requestVerify(
  context: Context,
  gatewayId: string,
  options: VerifyOptions & {
    /** Whether there still is somebody to answer. */
    readonly isRunning: () => Promise<boolean>
  },
): Promise<readonly VerifiedTable[] | undefined> {
  const folder = folderOf(context, gatewayId)
  await mkdir(folder, { recursive: true })
  const stem = join(folder, `${process.pid}-${randomUUID()}`)
  const request: Request = { tables: options.tables ?? null }
  await writeWhole(`${stem}.request.json`, JSON.stringify(request))
  try {
    for (;;) {
      if (options.signal.aborted) throw new SluiceError('ABORTED', 'verification was stopped')
      // Asked before the look: the last thing it did may have been to answer.
      const isRunning = await options.isRunning()
      const text = await readFile(`${stem}.reply.json`, 'utf8').catch(() => undefined)
      if (text !== undefined) return received(decodeJson(text) as Reply, options)
      if (!isRunning) return undefined
      await sleep(systemTimers, pollMs, options.signal)
    }
  } finally {
    await rm(`${stem}.request.json`, { force: true })
    await rm(`${stem}.reply.json`, { force: true })
  }
}

function received(reply: Reply, options: VerifyOptions): readonly VerifiedTable[] {
  if ('error' in reply) {
    const { code, message, remedy } = reply.error
    throw new SluiceError('VERIFY_FAILED', `${code}: ${message}`, { remedy })
  }
  for (const table of reply.tables) options.onTable?.(table)
  return reply.tables
}
