/** Manifests and `_log/_first` to bytes and back; see docs/staging-format.md. */
import { SluiceError } from '../base/errors.ts'
import { parseEntry, readTableId } from './entry-codec.ts'
import { FieldError, JsonFields } from './json-fields.ts'
import { logBasePath, manifestPath } from './layout.ts'
import type { BaseTable, LogBase } from './log-base.ts'
import type { Manifest, StoredManifest } from './manifest.ts'
import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'

/** The only format there is. A change that an older reader must not overlook raises it. */
export const manifestFormat = 1

export function encodeManifest(manifest: StoredManifest): Uint8Array {
  return encodeSealedJson(manifest)
}

/** Throws STAGING_MANIFEST_UNREADABLE that names the file and the field. `url` is for messages. */
export function decodeManifest(bytes: Uint8Array, commit: number, url: string): StoredManifest {
  return decodeLogFile(bytes, `${url}/${manifestPath(commit)}`, (fields) => {
    const manifest: StoredManifest = {
      format: readFormat(fields),
      commit: fields.count('commit'),
      epoch: fields.count('epoch'),
      writer: fields.text('writer'),
      created_at_ms: fields.count('created_at_ms'),
      ...(fields.has('incarnation') ? { incarnation: fields.text('incarnation') } : {}),
      position_before: fields.text('position_before'),
      position_after: fields.text('position_after'),
      ...readRange(fields),
      ...(fields.flag('barrier') ? { barrier: true } : {}),
      entries: fields.array('entries', parseEntry),
    }
    if (manifest.commit !== commit) fields.fail('commit', `is ${manifest.commit}`)
    return manifest
  })
}

export function encodeLogBase(base: LogBase): Uint8Array {
  return encodeSealedJson({ format: manifestFormat, ...base })
}

/** Throws STAGING_MANIFEST_UNREADABLE that names the file and the field. */
export function decodeLogBase(bytes: Uint8Array, url: string): LogBase {
  return decodeLogFile(bytes, `${url}/${logBasePath}`, (fields) => {
    readFormat(fields)
    return {
      first: fields.count('first'),
      ...(fields.has('last_sequence') ? { last_sequence: fields.sequence('last_sequence') } : {}),
      ...(fields.has('incarnation') ? { incarnation: fields.text('incarnation') } : {}),
      tables: fields.array('tables', parseBaseTable),
    }
  })
}

function decodeLogFile<T>(bytes: Uint8Array, file: string, read: (fields: JsonFields) => T): T {
  const sealed = decodeSealedJson(bytes)
  if (sealed.kind === 'damaged') {
    const text = `the staging log file ${file} is damaged: ${sealed.reason}`
    throw new SluiceError('STAGING_MANIFEST_UNREADABLE', text)
  }
  try {
    const fields = new JsonFields(sealed.value, '')
    const value = read(fields)
    fields.end()
    return value
  } catch (error) {
    if (!(error instanceof FieldError)) throw error
    const text = `the staging log file ${file} can not be read: ${error.message}`
    throw new SluiceError('STAGING_MANIFEST_UNREADABLE', text, { cause: error })
  }
}

/** First of all: in another format every other field may mean something else. */
function readFormat(fields: JsonFields): 1 {
  const format = fields.count('format')
  return format === manifestFormat
    ? manifestFormat
    : fields.fail('format', `${format} is not known`)
}

type TransactionRange = Pick<
  Manifest,
  'first_sequence' | 'last_sequence' | 'min_commit_time_us' | 'max_commit_time_us'
>

function readRange(fields: JsonFields): TransactionRange {
  return {
    ...(fields.has('first_sequence') ? { first_sequence: fields.sequence('first_sequence') } : {}),
    ...(fields.has('last_sequence') ? { last_sequence: fields.sequence('last_sequence') } : {}),
    ...(fields.has('min_commit_time_us')
      ? { min_commit_time_us: fields.decimal('min_commit_time_us') }
      : {}),
    ...(fields.has('max_commit_time_us')
      ? { max_commit_time_us: fields.decimal('max_commit_time_us') }
      : {}),
  }
}

function parseBaseTable(value: unknown, path: string): BaseTable {
  const fields = new JsonFields(value, path)
  const table: BaseTable = {
    table_id: readTableId(fields),
    last_commit: fields.count('last_commit'),
    entries: fields.array('entries', parseBaseEntry),
  }
  fields.end()
  return table
}

function parseBaseEntry(value: unknown, path: string): BaseTable['entries'][number] {
  const entry = parseEntry(value, path)
  switch (entry.kind) {
    case 'table':
    case 'snapshot_started':
    case 'snapshot_finished':
    case 'gap':
      return entry
    case 'snapshot_resumed':
    case 'snapshot_chunk':
    case 'changes':
    case 'truncate':
    case 'schema_change':
      throw new FieldError(`${path}.kind`, `"${entry.kind}" does not belong here`)
    default:
      return entry satisfies never
  }
}
