/**
 * Which Delta table features we read and write. PROTOCOL.md, "Table Features" and
 * "Requirements for Readers/Writers". The rest is refused by name.
 */
import { SluiceError } from '../base/errors.ts'
import type { Metadata, Protocol } from './actions.ts'
import { isEnabled } from './table-properties.ts'

/** Reader features whose tables we read rightly. */
const readableFeatures: ReadonlySet<string> = new Set([
  'columnMapping',
  'deletionVectors',
  'timestampNtz',
  'v2Checkpoint',
  'vacuumProtocolCheck',
])

/**
 * Writer features we can write under: `true` always; a function when only as long as the table
 * does not use what the feature allows.
 */
const writableFeatures: Readonly<Record<string, true | ((metadata: Metadata) => boolean)>> = {
  appendOnly: true,
  deletionVectors: true,
  domainMetadata: true,
  timestampNtz: true,
  vacuumProtocolCheck: true,
  invariants: (metadata) => !metadata.schemaString.includes('delta.invariants'),
  checkConstraints: (metadata) =>
    !Object.keys(metadata.configuration).some((key) => key.startsWith('delta.constraints.')),
  changeDataFeed: (metadata) => !isEnabled(metadata, 'delta.enableChangeDataFeed'),
  generatedColumns: (metadata) => !metadata.schemaString.includes('delta.generationExpression'),
  identityColumns: (metadata) => !metadata.schemaString.includes('delta.identity.'),
  columnMapping: (metadata) =>
    (metadata.configuration['delta.columnMapping.mode'] ?? 'none') === 'none',
}

/** Features that a legacy writer version implies, by the version that brought them. */
const impliedByWriterVersion: readonly (readonly [number, readonly string[]])[] = [
  [2, ['appendOnly', 'invariants']],
  [3, ['checkConstraints']],
  [4, ['changeDataFeed', 'generatedColumns']],
  [5, ['columnMapping']],
  [6, ['identityColumns']],
]

/** Throws DELTA_UNSUPPORTED_FEATURE, naming every feature in the way. */
export function assertReadable(protocol: Protocol, table: string): void {
  const { minReaderVersion } = protocol
  if (minReaderVersion < 1 || minReaderVersion > 3) {
    throw unsupported(table, 'read', `reader version ${minReaderVersion}`)
  }
  if (minReaderVersion < 3) return
  const unknown = (protocol.readerFeatures ?? []).filter((name) => !readableFeatures.has(name))
  if (unknown.length > 0) throw unsupported(table, 'read', unknown.join(', '))
}

/** Throws DELTA_UNSUPPORTED_FEATURE, naming every feature in the way. */
export function assertWritable(protocol: Protocol, metadata: Metadata, table: string): void {
  assertReadable(protocol, table)
  const { minWriterVersion } = protocol
  if (minWriterVersion < 1 || minWriterVersion > 7) {
    throw unsupported(table, 'write', `writer version ${minWriterVersion}`)
  }
  const names = new Set([...(protocol.writerFeatures ?? []), ...(protocol.readerFeatures ?? [])])
  if (minWriterVersion < 7) {
    for (const [version, features] of impliedByWriterVersion) {
      if (version <= minWriterVersion) for (const feature of features) names.add(feature)
    }
  }
  const refused = [...names].filter((name) => {
    const rule = Object.hasOwn(writableFeatures, name) ? writableFeatures[name] : undefined
    return rule === undefined || (rule !== true && !rule(metadata))
  })
  if (refused.length > 0) throw unsupported(table, 'write', refused.join(', '))
  if (metadata.partitionColumns.length > 0) throw unsupported(table, 'write', 'partition columns')
}

/** Vectors may be written only when the protocol lists the feature and the table asks for it. */
export function mayWriteDeletionVectors(protocol: Protocol, metadata: Metadata): boolean {
  return (
    (protocol.writerFeatures ?? []).includes('deletionVectors') &&
    isEnabled(metadata, 'delta.enableDeletionVectors')
  )
}

function unsupported(table: string, verb: string, what: string): SluiceError {
  return new SluiceError(
    'DELTA_UNSUPPORTED_FEATURE',
    `can not ${verb} Delta table ${table}: ${what}`,
  )
}
