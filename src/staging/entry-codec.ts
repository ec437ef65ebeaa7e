/** Exact reading of the entries of a manifest; see docs/staging-format.md, "Entries". */
import type { ColumnStatistics, FileStatistics } from '../columnar/column-statistics.ts'
import { JsonFields } from './json-fields.ts'
import { isTableFolderName, parseDataFilePath } from './layout.ts'
import type {
  ChangesEntry,
  GapEntry,
  ManifestEntry,
  SchemaChangeEntry,
  SnapshotChunkEntry,
  SnapshotResumedEntry,
  SnapshotStartedEntry,
  StagedFile,
  TableEntry,
} from './manifest.ts'

/** Throws FieldError. */
export function parseEntry(value: unknown, path: string): ManifestEntry {
  const fields = new JsonFields(value, path)
  const kind = fields.text('kind')
  const tableId = readTableId(fields)
  const entry = parseEntryOfKind(fields, kind, tableId)
  fields.end()
  return entry
}

/** An entry as a manifest has it, of this kind. */
export function readEntry<K extends ManifestEntry['kind']>(
  fields: JsonFields,
  name: string,
  kind: K,
): Extract<ManifestEntry, { kind: K }> {
  const entry = parseEntry(fields.take(name), fields.pathOf(name))
  const isOfKind = (one: ManifestEntry): one is Extract<ManifestEntry, { kind: K }> =>
    one.kind === kind
  return isOfKind(entry) ? entry : fields.fail(name, `is not a ${kind}`)
}

export function readTableId(fields: JsonFields): string {
  const tableId = fields.text('table_id')
  return isTableFolderName(tableId) ? tableId : fields.fail('table_id', 'is not a table id')
}

function parseEntryOfKind(fields: JsonFields, kind: string, tableId: string): ManifestEntry {
  switch (kind) {
    case 'table':
      return readTable(fields, tableId)
    case 'snapshot_started':
      return readSnapshotStarted(fields, tableId)
    case 'snapshot_resumed':
      return readSnapshotResumed(fields, tableId)
    case 'snapshot_chunk':
      return readSnapshotChunk(fields, tableId)
    case 'snapshot_finished':
      return {
        kind,
        table_id: tableId,
        snapshot_id: fields.count('snapshot_id'),
        rows: fields.count('rows'),
      }
    case 'changes':
      return readChanges(fields, tableId)
    case 'truncate':
      return {
        kind,
        table_id: tableId,
        snapshot_id: fields.count('snapshot_id'),
        sequence: fields.sequence('sequence'),
        ordinal: fields.count('ordinal'),
        ...readResumption(fields),
        ...(fields.has('commit_time_us')
          ? { commit_time_us: fields.decimal('commit_time_us') }
          : {}),
      }
    case 'schema_change':
      return readSchemaChange(fields, tableId)
    case 'gap':
      return readGap(fields, tableId)
    default:
      return fields.fail('kind', `${JSON.stringify(kind)} is not known to this version`)
  }
}

function readGap(fields: JsonFields, tableId: string): GapEntry {
  return {
    kind: 'gap',
    table_id: tableId,
    reason: fields.text('reason'),
    ...(fields.flag('full_refresh') ? { full_refresh: true } : {}),
    ...(fields.flag('gone') ? { gone: true } : {}),
  }
}

function readTable(fields: JsonFields, tableId: string): TableEntry {
  return {
    kind: 'table',
    table_id: tableId,
    ...(fields.has('source_catalog') ? { source_catalog: fields.text('source_catalog') } : {}),
    source_schema: fields.text('source_schema'),
    source_table: fields.text('source_table'),
    schema_version: fields.count('schema_version'),
  }
}

function readSnapshotStarted(fields: JsonFields, tableId: string): SnapshotStartedEntry {
  return {
    kind: 'snapshot_started',
    table_id: tableId,
    snapshot_id: fields.count('snapshot_id'),
    schema_version: fields.count('schema_version'),
    point: fields.text('point'),
    chunk_count: fields.count('chunk_count'),
    ...(fields.has('estimated_rows') ? { estimated_rows: fields.count('estimated_rows') } : {}),
    ...readTakenAt(fields),
  }
}

function readTakenAt(fields: JsonFields): { readonly taken_at_us?: string } {
  return fields.has('taken_at_us') ? { taken_at_us: fields.decimal('taken_at_us') } : {}
}

function readChanges(fields: JsonFields, tableId: string): ChangesEntry {
  return {
    kind: 'changes',
    table_id: tableId,
    snapshot_id: fields.count('snapshot_id'),
    schema_version: fields.count('schema_version'),
    file: parseStagedFile(fields.take('file'), fields.pathOf('file'), tableId),
    inserts: fields.count('inserts'),
    updates: fields.count('updates'),
    deletes: fields.count('deletes'),
    has_absent: fields.boolean('has_absent'),
    min_sequence: fields.sequence('min_sequence'),
    max_sequence: fields.sequence('max_sequence'),
    ...readResumption(fields),
  }
}

function readSchemaChange(fields: JsonFields, tableId: string): SchemaChangeEntry {
  return {
    kind: 'schema_change',
    table_id: tableId,
    snapshot_id: fields.count('snapshot_id'),
    schema_version: fields.count('schema_version'),
    sequence: fields.sequence('sequence'),
    ordinal: fields.count('ordinal'),
    ...(fields.has('fill')
      ? { fill: parseStagedFile(fields.take('fill'), fields.pathOf('fill'), tableId) }
      : {}),
  }
}

function readSnapshotResumed(fields: JsonFields, tableId: string): SnapshotResumedEntry {
  return {
    kind: 'snapshot_resumed',
    table_id: tableId,
    snapshot_id: fields.count('snapshot_id'),
    resumption: fields.count('resumption'),
    point: fields.text('point'),
    first_chunk: fields.count('first_chunk'),
    chunk_count: fields.count('chunk_count'),
    ...readTakenAt(fields),
  }
}

function readSnapshotChunk(fields: JsonFields, tableId: string): SnapshotChunkEntry {
  return {
    kind: 'snapshot_chunk',
    table_id: tableId,
    snapshot_id: fields.count('snapshot_id'),
    schema_version: fields.count('schema_version'),
    chunk: fields.count('chunk'),
    files: fields.array('files', (file, path) => parseStagedFile(file, path, tableId)),
    ...(fields.has('range') ? { range: fields.text('range') } : {}),
    ...readResumption(fields),
    ...(fields.flag('refresh') ? { refresh: true } : {}),
  }
}

function readResumption(fields: JsonFields): { readonly resumption?: number } {
  return fields.has('resumption') ? { resumption: fields.count('resumption') } : {}
}

function parseStagedFile(value: unknown, path: string, tableId: string): StagedFile {
  const fields = new JsonFields(value, path)
  const file: StagedFile = {
    path: fields.text('path'),
    rows: fields.count('rows'),
    bytes: fields.count('bytes'),
    crc32: fields.count('crc32'),
    ...(fields.has('unfit_cells') ? { unfit_cells: fields.count('unfit_cells') } : {}),
    ...(fields.has('statistics')
      ? { statistics: parseStatistics(fields.take('statistics'), fields.pathOf('statistics')) }
      : {}),
  }
  // Nothing a manifest says may lead out of the table's own folder.
  if (parseDataFilePath(file.path)?.tableId !== tableId) {
    fields.fail('path', `${JSON.stringify(file.path)} is not a data file of table ${tableId}`)
  }
  if (file.crc32 > 0xffffffff) fields.fail('crc32', 'is larger than 32 bits')
  fields.end()
  return file
}

function parseStatistics(value: unknown, path: string): FileStatistics {
  const fields = new JsonFields(value, path)
  const statistics = {
    rowCount: fields.count('rowCount'),
    columns: fields.array('columns', parseColumnStatistics),
  }
  fields.end()
  return statistics
}

function parseColumnStatistics(value: unknown, path: string): ColumnStatistics {
  const fields = new JsonFields(value, path)
  const statistics = {
    name: fields.text('name'),
    nullCount: fields.count('nullCount'),
    ...(fields.has('min') ? { min: fields.text('min') } : {}),
    ...(fields.has('max') ? { max: fields.text('max') } : {}),
  }
  fields.end()
  return statistics
}
