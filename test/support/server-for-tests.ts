/** A server of the lane's version for the tests of one file. */
import { afterAll, beforeAll } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'

/** Started before the first test of the file and stopped after the last; not there before that. */
export function serverForTests(
  options: Parameters<typeof startEmbeddedPostgres>[0] = {},
): EmbeddedPostgres {
  let server: EmbeddedPostgres | undefined
  beforeAll(async () => {
    server = await startEmbeddedPostgres(options)
  })
  afterAll(async () => await server?.stop())
  return new Proxy({} as EmbeddedPostgres, {
    get: (_, name) => {
      if (server === undefined) throw new Error('the server is started when the tests begin')
      return Reflect.get(server, name) as unknown
    },
  })
}
