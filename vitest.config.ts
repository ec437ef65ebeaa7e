/** A test file's suffix says what it needs; each suffix is a project of its own. */
import { defineConfig } from 'vitest/config'

const needsSomething = ['**/*.pg.test.ts', '**/*.shared.test.ts', '**/*.ci.test.ts']
const everywhere = ['src/**', 'test/**', 'bench/**']
const files = (suffix: string): string[] => everywhere.map((folder) => `${folder}/*${suffix}`)

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
          maxWorkers: 1,
        },
      },
    ],
  },
})
