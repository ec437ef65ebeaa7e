/** A test file's suffix says what it needs; each suffix is a project of its own. */
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

const needsSomething = ['**/*.pg.test.ts', '**/*.shared.test.ts', '**/*.ci.test.ts']
const everywhere = ['src/**', 'test/**', 'bench/**']
const files = (suffix: string): string[] => everywhere.map((folder) => `${folder}/*${suffix}`)

/** What depends on the server's version: all of the source, and what crosses the whole product. */
const versioned = [
  'src/source/postgres/**/*.pg.test.ts',
  'src/verify/*.pg.test.ts',
  'test/e2e/bad-input-tables.pg.test.ts',
  'test/e2e/ddl.pg.test.ts',
  'test/e2e/ddl-fuzz.pg.test.ts',
  'test/e2e/ddl-partitions.pg.test.ts',
  'test/e2e/extension-types.pg.test.ts',
  'test/e2e/partitions.pg.test.ts',
  'test/e2e/refresh.pg.test.ts',
  'test/e2e/row-identity.pg.test.ts',
  'test/e2e/type-zoo.pg.test.ts',
  'test/e2e/verify-while-running.pg.test.ts',
]

/** A server of another major version than the one that the package beside us carries. */
function pgVersion(version: number, include: readonly string[]): TestProjectInlineConfiguration {
  return {
    test: {
      name: `pg-${version}`,
      include: [...include],
      env: { SLUICE_TEST_POSTGRES: `${version}` },
      testTimeout: 120_000,
      hookTimeout: 120_000,
      maxWorkers: 2,
    },
  }
}

/** The rest of the versions that are supported: what speaks to the server, and nothing else. */
const smoke = ['src/source/postgres/**/*.pg.test.ts', 'src/verify/*.pg.test.ts']

/** Continuous integration collects one JSON report per run in this folder. */
const reports = process.env['SLUICE_TEST_REPORTS']
const outputFile = `${reports}/${process.pid}.json`

export default defineConfig({
  test: {
    reporters: reports === undefined ? ['default'] : ['default', ['json', { outputFile }]],
    projects: [
      {
        test: {
          name: 'unit',
          include: files('.test.ts'),
          exclude: ['**/node_modules/**', ...needsSomething],
          testTimeout: 30_000,
        },
      },
      {
        // A PostgreSQL server from npm, started by the tests that need it.
        test: {
          name: 'pg',
          include: files('.pg.test.ts'),
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      pgVersion(15, versioned),
      // These need `scripts/install-postgres-versions.sh`.
      ...[13, 14, 16, 17].map((version) => pgVersion(version, smoke)),
      {
        // Data beside the repository that users do not have.
        test: {
          name: 'shared',
          include: files('.shared.test.ts'),
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
      {
        // Long or heavy runs of continuous integration.
        test: {
          name: 'ci',
          include: files('.ci.test.ts'),
          testTimeout: 1_800_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
    ],
  },
})
