import { expect, test } from 'vitest'
import { managedService } from './managed-service.ts'
import {
  encodingFinding,
  pluginFindings,
  versionFinding,
  walLevelFinding,
} from './prerequisites-server.ts'

const own = managedService('own')

test.each([
  ['120000', 'error'],
  ['130000', 'warning'],
  ['140000', 'ok'],
  ['180004', 'ok'],
  ['190000', 'warning'],
])('version %s is %s', (version_num, severity) => {
  const row = { version_num, version: version_num.slice(0, 2), is_standby: 'f' }
  expect(versionFinding(row).severity).toBe(severity)
})

test.each([
  [null, []],
  ['pgoutput, test_decoding', ['ok']],
  ['"pgoutput"', ['ok']],
  ['test_decoding', ['error']],
  ['', ['error']],
])('output_plugin_libraries %j', (plugins, severities) => {
  const findings = pluginFindings({ plugins }, own)
  expect(findings.map(({ severity }) => severity)).toEqual(severities)
  const remedy = findings[0]?.remedy
  if (remedy !== undefined) expect(remedy).toMatch(/^ALTER SYSTEM SET .*pgoutput/)
})

test('a wal_level that only waits for a restart asks for nothing else', () => {
  const pending = walLevelFinding({ wal_level: 'replica', wal_level_pending: 't' }, own)
  expect(pending).toMatchObject({ severity: 'error', remedy: 'Restart the server.' })
  expect(walLevelFinding({ wal_level: 'minimal', wal_level_pending: 'f' }, own).remedy).toContain(
    'wal_level = logical',
  )
})

test('encodings but SQL_ASCII are converted', () => {
  expect(encodingFinding({ encoding: 'UTF8' }).severity).toBe('ok')
  expect(encodingFinding({ encoding: 'EUC_JP' }).severity).toBe('ok')
  expect(encodingFinding({ encoding: 'SQL_ASCII' }).severity).toBe('warning')
})
