import { describe, expect, test } from 'vitest'
import { pipelineSettings, settingValue, type PipelineSetting } from './pipeline-settings.ts'
import { changed, onlyProblem, parse } from './resource-file.fixture.ts'
import { bytesSize, choice, duration, integer } from './setting-kinds.ts'

describe('settings', () => {
  test('every declared setting has an initial value that parses and a key of its own', () => {
    const all: readonly PipelineSetting<unknown>[] = Object.values(pipelineSettings)
    for (const { key, kind, initial } of all) expect(kind.parse(initial), key).toBeDefined()
    expect(new Set(all.map(({ key }) => key)).size).toBe(all.length)
  })

  test('a text that no longer parses counts as not given', () => {
    const { key } = pipelineSettings.snapshotWorkers
    expect(settingValue({ [key]: '4' }, pipelineSettings.snapshotWorkers)).toBe(4)
    expect(settingValue({ [key]: 'many' }, pipelineSettings.snapshotWorkers)).toBe(2)
    expect(settingValue(undefined, pipelineSettings.snapshotWorkers)).toBe(2)
  })

  test('kinds take what they say and nothing near it', () => {
    expect(integer(1, 16).parse('16')).toBe(16)
    for (const text of ['0', '17', '-1', '1.5', '1e1', '', ' 2']) {
      expect(integer(1, 16).parse(text), text).toBeUndefined()
    }
    expect(duration(0, 86_400_000).parse('5min')).toBe(300_000)
    expect(duration(0, 1000).parse('off')).toBe(0)
    expect(duration(1, 1000).parse('off')).toBeUndefined()
    expect(duration(0, 1000).parse('2s')).toBeUndefined()
    expect(duration(0, 1000).parse('5')).toBeUndefined()
    expect(bytesSize(0, 2 ** 40).parse('64MiB')).toBe(2 ** 26)
    expect(bytesSize(0, 2 ** 40).parse('10GB')).toBe(1e10)
    expect(bytesSize(0, 2 ** 40).parse('64 mib')).toBeUndefined()
    expect(choice('fail', 'null').parse('null')).toBe('null')
    expect(choice('fail', 'null').parse('NULL')).toBeUndefined()
  })
})

describe('configuration of a gateway', () => {
  const withConfiguration = (text: string): string =>
    changed('shop_gateway:\n', `shop_gateway:\n      configuration: {${text}}\n`)

  test('settings arrive with the definition', () => {
    const result = parse(withConfiguration('sluice.snapshot.workers: 4'))
    expect(result.kind).toBe('valid')
    if (result.kind !== 'valid') return
    expect(result.resources.gateways[0]?.settings).toEqual({ 'sluice.snapshot.workers': '4' })
  })

  test('unknown, misplaced and wrong ones are named', () => {
    expect(onlyProblem(withConfiguration('sluice.snapshot.worker: 4')).remedy).toBe(
      'Did you mean "sluice.snapshot.workers"?',
    )
    const wrong = onlyProblem(withConfiguration('sluice.snapshot.workers: 400'))
    expect(wrong.message).toContain('"400", which is not a whole number from 1 to 16')
    const misplaced = changed(
      'continuous: false',
      'continuous: false\n      configuration: {sluice.snapshot.workers: 4}',
    )
    expect(onlyProblem(misplaced).remedy).toContain('the gateway')
    expect(onlyProblem(withConfiguration('spark.x: 4')).message).toContain('has no effect')
  })
})
