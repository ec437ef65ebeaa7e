/** Gateways of one file are independent: a source that cannot be reached stops only its own tables. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freePort } from '../../src/quickstart/embedded-postgres.ts'
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { runSluice } from '../support/sluice-process.ts'

test('a gateway whose server is down is named, and the other one does its work', async () => {
  const server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-two-'))
  const env = { SLUICE_TEST_PASSWORD: server.password }
  const connection = (port: number): string =>
    `{connection_type: POSTGRESQL, options: {host: 127.0.0.1, port: "${port}", user: postgres, password: "\${env.SLUICE_TEST_PASSWORD}", sslmode: disable}}`
  const pipelines = (name: string): string => `
    ${name}_gateway:
      gateway_definition: {connection_name: ${name}, gateway_storage_catalog: main, gateway_storage_schema: staging, gateway_storage_name: ${name}}
    ${name}_ingest:
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.${name}_gateway.id}
        objects: [schema: {source_catalog: postgres, source_schema: public, destination_catalog: main, destination_schema: ${name}}]`
  try {
    await server.sql('CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)')
    const file = `resources:
  connections:
    up: ${connection(server.port)}
    down: ${connection(await freePort())}
  pipelines:${pipelines('down')}${pipelines('up')}
`
    await writeFile(join(folder, 'r.yml'), file)
    const args = ['run', 'r.yml', '--once', '--data', 'data', '--output', 'json']
    const run = await runSluice(args, { cwd: folder, env })
    expect(run.exitCode, run.stdout + run.stderr).toBe(1)
    expect(run.stdout).toContain('"SOURCE_UNREACHABLE"')
    expect(run.stdout).toContain('gateway down_gateway')
    const rows = ['query', 'SELECT count(*) AS n FROM main.up.t', '--data', 'data']
    expect((await runSluice(rows, { cwd: folder, env })).stdout).toMatch(/\b2\b/)
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
