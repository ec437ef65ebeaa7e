import { expect, test } from 'vitest'
import { misplacedSecret } from './misplaced-secret.ts'

test.each([
  ['host', 'postgres://u:hunter2@db/shop'],
  ['host', 'u:hunter2@db'],
  ['host', 'a.example, u:hunter2@b.example'],
  ['host', 'host=db password=hunter2'],
  ['user', 'sluice:hunter2'],
  ['user', 'postgres://sluice:hunter2@db'],
  ['database', 'postgresql://sluice:hunter2@db/shop'],
  ['database', 'dbname=shop password = hunter2'],
] as const)('option %s is refused as %s, and the text is not repeated', (option, text) => {
  expect(misplacedSecret(option, text)).toMatch(/URL|"@"|":"|password=/)
  expect(misplacedSecret(option, text)).not.toContain('hunter2')
})

test.each([
  ['host', 'db.example'],
  ['host', '::1'],
  ['host', '[::1],db'],
  ['host', '/var/run/postgres@14'],
  ['user', 'sluice@myserver'],
  ['user', 'DOMAIN\\sluice'],
  ['database', 'shop: the new one'],
] as const)('option %s may be %s', (option, text) => {
  expect(misplacedSecret(option, text)).toBeUndefined()
})
