/**
 * PostgreSQL servers of other major versions, for tests. Which one a test gets is decided by the
 * lane that it runs in (`SLUICE_TEST_POSTGRES`, set by the projects of `vitest.config.ts`), unless
 * it names one.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres as startServer,
} from '../../src/quickstart/embedded-postgres.ts'
import { packageOfPrograms, serverPrograms } from '../../src/quickstart/server-programs.ts'

export type { EmbeddedPostgres }

const newest = 18

/** The major version that this lane tests against, 13 to 18. */
export const postgresVersion = Number(process.env['SLUICE_TEST_POSTGRES'] ?? newest)

const require = createRequire(import.meta.url)

/** A package that only a script installs, see `scripts/install-postgres-versions.sh`. */
const installed = createRequire(new URL('../postgres-versions/package.json', import.meta.url))

async function packaged(from: NodeJS.Require, version: number): Promise<string> {
  const wrapper = from.resolve(`embedded-postgres-${version}`)
  return await serverPrograms(createRequire(wrapper).resolve(packageOfPrograms()))
}

/** Absolute folder with `bin/postgres` of this major version. */
async function programsOf(version: number): Promise<string> {
  if (version === newest) return await serverPrograms()
  if (version !== 15) {
    return await packaged(installed, version).catch((error: unknown) => {
      const script = 'scripts/install-postgres-versions.sh'
      throw new Error(`no PostgreSQL ${version} for tests: run ${script}`, { cause: error })
    })
  }
  // What people run is a distribution's build: it is tested where there is one.
  const debian = '/usr/lib/postgresql/15'
  return existsSync(join(debian, 'bin', 'postgres')) ? debian : await packaged(require, version)
}

/** As the function of the quick start, with the programs of the lane's version or of `version`. */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions & { readonly version?: number } = {},
): Promise<EmbeddedPostgres> {
  const { version = postgresVersion, ...rest } = options
  return await startServer({ ...rest, programs: await programsOf(version) })
}
