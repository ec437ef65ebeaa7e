/** Table schemas of a volume: written once per version, never changed, never purged. */
import { SluiceError } from '../base/errors.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { schemaPath } from './layout.ts'
import { decodeSchema, encodeSchema } from './schema-codec.ts'

/** Throws STAGING_SCHEMA_CONFLICT when the version already stands for another schema. */
export async function writeSchemaFile(
  storage: ObjectStorage,
  path: string,
  schema: TableSchema,
): Promise<void> {
  const bytes = encodeSchema(schema)
  if (await storage.writeIfAbsent(path, bytes)) return
  const present = await storage.read(path)
  if (present !== undefined && Buffer.compare(bytes, present) === 0) return
  const text = `${storage.url}/${path} holds another schema than the one to be written`
  throw new SluiceError('STAGING_SCHEMA_CONFLICT', text)
}

/** Throws STAGING_SCHEMA_MISSING or STAGING_SCHEMA_UNREADABLE. */
export async function readSchemaFile(
  storage: ObjectStorage,
  tableId: string,
  schemaVersion: number,
): Promise<TableSchema> {
  const path = schemaPath(tableId, schemaVersion)
  const bytes = await storage.read(path)
  if (bytes === undefined) {
    const text = `the schema file ${storage.url}/${path} is not there`
    throw new SluiceError('STAGING_SCHEMA_MISSING', text)
  }
  return decodeSchema(bytes, `${storage.url}/${path}`)
}
