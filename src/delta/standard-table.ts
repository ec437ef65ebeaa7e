/** The profile of the tables we create: what nearly every Delta reader of today understands. */
import { randomUUID } from 'node:crypto'
import type { Metadata, Protocol } from './actions.ts'
import { deltaSchemaString, type DeltaColumn } from './table-schema.ts'

export interface StandardTableOptions {
  readonly columns: readonly DeltaColumn[]
  readonly name?: string
  readonly description?: string
  /** Added to, and winning over, the profile's own properties. */
  readonly configuration?: Readonly<Record<string, string>>
  readonly createdAtMs: number
  /** Kept when a table is replaced; random by default. */
  readonly id?: string
}

/** Reader 3, writer 7: deletion vectors, and `timestampNtz` only when a column needs it. */
export function standardTable(options: StandardTableOptions): {
  readonly protocol: Protocol
  readonly metadata: Metadata
} {
  const needsNtz = options.columns.some(({ type }) => {
    const scalar = type.kind === 'array' ? type.element : type
    return scalar.kind === 'timestamp_ntz'
  })
  const readerFeatures = needsNtz ? ['deletionVectors', 'timestampNtz'] : ['deletionVectors']
  return {
    protocol: {
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures,
      writerFeatures: [...readerFeatures, 'appendOnly', 'invariants'],
    },
    metadata: {
      id: options.id ?? randomUUID(),
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.description === undefined ? {} : { description: options.description }),
      format: { provider: 'parquet', options: {} },
      schemaString: deltaSchemaString(options.columns),
      partitionColumns: [],
      configuration: {
        'delta.enableDeletionVectors': 'true',
        'delta.parquet.compression.codec': 'zstd',
        ...options.configuration,
      },
      createdTime: options.createdAtMs,
    },
  }
}
