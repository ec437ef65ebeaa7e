import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { formatTableName } from './names.ts'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseResourceFile } from './resource-file.ts'
import type { Resources } from './resources.ts'
import { openSqliteStore } from './sqlite-store.ts'
import type { CatalogStore } from './store.ts'

let folder = ''
const open: CatalogStore[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-catalog-'))
})
afterEach(async () => {
  for (const store of open.splice(0)) await store.close()
  rmSync(folder, { recursive: true, force: true })
})

function openStore(create = true): CatalogStore {
  let now = 1000
  const store = openSqliteStore({ dataFolder: folder, clock: { nowMs: () => now++ }, create })
  open.push(store)
  return store
}

function resources(change: (text: string) => string = (text) => text): Resources {
  const text = `resources:
  connections:
    shop: {connection_type: POSTGRESQL, options: {host: db, user: u, password: literal-secret}}
    ref: {connection_type: POSTGRESQL, options: {host: "\${env.H}", user: u, password: "\${env.P}"}}
  pipelines:
    gw: {gateway_definition: {connection_name: shop, gateway_storage_catalog: main, gateway_storage_schema: staging}}
    p:
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gw.id}
        objects: [{schema: {source_catalog: db, source_schema: public, destination_catalog: main, destination_schema: shop}}]
`
  const result = parseResourceFile(change(text), { file: 'x.yml', env: { H: 'h', P: 'p' } })
  if (result.kind === 'invalid') throw new Error(JSON.stringify(result.problems))
  return result.resources
}

const name = { catalog: 'main', schema: 'shop', table: 'orders' }
const destination = {
  name,
  pipelineId: 'p',
  tableId: '1',
  source: 'db.public.orders',
  scdType: 'SCD_TYPE_1',
  location: '/lake/x',
} as const

test('what was deployed is there after reopening', async () => {
  const wanted = resources()
  const first = openStore()
  expect((await first.deploy(wanted)).map(({ kind }) => kind)).toEqual(Array(4).fill('created'))
  await first.close()
  open.pop()
  const store = openStore(false)
  expect(await store.gateways()).toEqual(wanted.gateways)
  expect(await store.pipelines()).toEqual(wanted.pipelines)
  expect((await store.connections()).map((connection) => connection.name)).toEqual(['ref', 'shop'])
  const address = await store.openConnection('shop', {})
  expect(address.secrets['password']?.reveal()).toBe('literal-secret')
  expect((await store.deploy(wanted)).map(({ kind }) => kind)).toEqual(Array(4).fill('unchanged'))
})

test('no file of the data folder holds a secret or a value of the environment', async () => {
  const store = openStore()
  await store.deploy(resources())
  const bytes = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'latin1'))
  expect(bytes.join()).not.toContain('literal-secret')
  expect(bytes.join()).toContain('${env.P}')
})

test('keys of client certificates are sealed like passwords', async () => {
  const store = openStore()
  const withKey = resources((text) =>
    text.replace('password: literal-secret', 'sslkey: pem-secret, sslpassword: phrase-secret'),
  )
  await store.deploy(withKey)
  const bytes = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'latin1'))
  expect(bytes.join()).not.toMatch(/pem-secret|phrase-secret/)
  const { secrets, options } = await store.openConnection('shop', {})
  expect([secrets['sslkey']?.reveal(), secrets['sslpassword']?.reveal()]).toEqual([
    'pem-secret',
    'phrase-secret',
  ])
  expect(Object.keys(options)).toEqual(['host', 'user'])
  expect((await store.deploy(withKey))[0]?.kind).toBe('unchanged')
})

test('references are looked up when the connection is opened', async () => {
  const store = openStore()
  await store.deploy(resources())
  const address = await store.openConnection('ref', { H: 'elsewhere', P: 'new' })
  expect([address.options['host'], address.secrets['password']?.reveal()]).toEqual([
    'elsewhere',
    'new',
  ])
  await expect(store.openConnection('ref', { H: 'x' })).rejects.toMatchObject({
    code: 'CONFIG_ENV_UNSET',
  })
  await expect(store.openConnection('shap', {})).rejects.toMatchObject({
    code: 'CONFIG_UNKNOWN_REFERENCE',
    remedy: 'Did you mean "shop"?',
  })
})

test('a changed password is an update, a lost key too', async () => {
  const store = openStore()
  await store.deploy(resources())
  const again = await store.deploy(resources((text) => text.replace('literal-secret', 'other')))
  expect(again.map(({ kind }) => kind)).toEqual(['updated', 'unchanged', 'unchanged', 'unchanged'])
  await store.close()
  open.pop()
  rmSync(join(folder, 'sluice.key'))
  const reopened = openStore()
  await expect(reopened.openConnection('shop', {})).rejects.toMatchObject({
    code: 'CATALOG_SECRET_UNREADABLE',
  })
  expect((await reopened.deploy(resources()))[0]?.kind).toBe('updated')
  expect((await reopened.openConnection('shop', {})).secrets['password']?.reveal()).toBe(
    'literal-secret',
  )
})

test.each([
  ['connection_name: shop', 'connection_name: ref'],
  ['gateway_storage_schema: staging', 'gateway_storage_schema: other'],
  ['source_catalog: db', 'source_catalog: other'],
])('%s cannot change, and nothing of the file is deployed', async (from, to) => {
  const store = openStore()
  const before = resources()
  await store.deploy(before)
  const after = resources((text) => text.replace(from, to).replace('host: db', 'host: db2'))
  await expect(store.deploy(after)).rejects.toMatchObject({ code: 'CONFIG_IMMUTABLE_FIELD' })
  expect(await store.gateways()).toEqual(before.gateways)
  expect((await store.openConnection('shop', {})).options['host']).toBe('db')
})

test('destinations, refresh requests, updates, events and live status are kept', async () => {
  const store = openStore()
  await store.saveDestination(destination)
  await store.saveDestination({ ...destination, location: '/lake/y' })
  expect(await store.destinations()).toEqual([{ ...destination, location: '/lake/y' }])
  await store.requestRefresh(name)
  await store.requestRefresh(name)
  expect(await store.refreshRequests()).toEqual([name])
  await store.clearRefresh(name)
  expect(await store.refreshRequests()).toEqual([])
  const first = await store.startUpdate('p')
  const second = await store.startUpdate('p')
  await store.endUpdate(first, 'FAILED', { code: 'X', message: 'm' })
  expect(await store.updates('p', 10)).toEqual([
    {
      id: second,
      ownerId: 'p',
      state: 'RUNNING',
      startedAtMs: 1001,
      endedAtMs: undefined,
      error: undefined,
    },
    {
      id: first,
      ownerId: 'p',
      state: 'FAILED',
      startedAtMs: 1000,
      endedAtMs: 1002,
      error: { code: 'X', message: 'm' },
    },
  ])
  const event = {
    atMs: 5,
    ownerId: 'p',
    level: 'warn',
    table: undefined,
    message: 'm',
    code: 'C',
  } as const
  await store.addEvent(event)
  expect(await store.events('p', 5)).toEqual([event])
  expect(await store.events('other', 5)).toEqual([])
  const live = { ownerId: 'p', processId: 1, atMs: 7, json: '{}' }
  await store.saveLiveStatus({ ...live, atMs: 6 })
  await store.saveLiveStatus(live)
  expect(await store.liveStatus('p')).toEqual(live)
  await store.removeDestination(name)
  expect(await store.destinations()).toEqual([])
})

test('trap: what a removed pipeline gave up is its own again once it has it on record', async () => {
  const store = openStore()
  const file = resources()
  await store.deploy(file)
  const [pipeline] = file.pipelines
  const pipelineId = pipeline?.id ?? ''
  await store.saveDestination({ ...destination, pipelineId })
  expect(await store.deploy({ ...file, pipelines: [] })).toContainEqual({
    kind: 'undeclared',
    resource: 'pipeline',
    key: pipeline?.key,
  })
  expect(await store.withdrawnPipelines()).toEqual(new Set(file.pipelines.map(({ id }) => id)))
  await store.deploy(file)
  expect(await store.withdrawnPipelines()).toEqual(new Set())
  await store.removePipeline(pipelineId)
  expect(await store.destinations()).toEqual([])
  expect((await store.pipelines()).some(({ id }) => id === pipelineId)).toBe(false)
  const table = { pipelineId, destination: formatTableName(name) }
  expect(await store.releases()).toEqual([{ pipelineId, destination: undefined }, table])
  await store.deploy(file)
  expect(await store.releases()).toEqual([table])
  await store.saveDestination({ ...destination, pipelineId: 'another' })
  expect(await store.releases()).toEqual([table])
  await store.saveDestination({ ...destination, pipelineId })
  expect(await store.releases()).toEqual([])
})

test('two processes can write', async () => {
  const [a, b] = [openStore(), openStore()]
  await a.saveDestination(destination)
  await b.saveDestination({ ...destination, tableId: '2' })
  expect((await a.destinations())[0]?.tableId).toBe('2')
})

test('without a catalog only a creating call makes one', () => {
  expect(() => openStore(false)).toThrow(expect.objectContaining({ code: 'CATALOG_NOT_FOUND' }))
  expect(readdirSync(folder)).toEqual([])
})

test.each<[string, string, (file: string) => void]>([
  [
    'text',
    'CATALOG_DAMAGED',
    (file) => writeFileSync(file, 'hello, I am no database at all\n'.repeat(50)),
  ],
  ['cut', 'CATALOG_DAMAGED', (file) => truncateSync(file, 9000)],
  ['foreign', 'CATALOG_DAMAGED', (file) => exec(file, 'PRAGMA application_id = 1')],
  ['newer', 'CATALOG_TOO_NEW', (file) => exec(file, 'PRAGMA user_version = 99')],
])('a catalog that is %s gives %s and is left alone', async (_, code, harm) => {
  const store = openStore()
  await store.deploy(resources())
  await store.close()
  open.pop()
  const file = join(folder, 'sluice.db')
  harm(file)
  const bytes = readFileSync(file)
  expect(() => openStore()).toThrow(expect.objectContaining({ code }))
  expect(readFileSync(file).equals(bytes)).toBe(true)
})

function exec(file: string, sql: string): void {
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}
