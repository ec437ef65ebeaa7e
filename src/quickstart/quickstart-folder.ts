/** The folder of the quick start: begun anew every time, and only when it is its own. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SluiceError } from '../base/errors.ts'

/** Its presence says: everything in this folder was made by a quick start. */
const markerName = '.made-by-quickstart'

/** Name of the variable the resource file refers to. */
export const passwordVariable = 'SHOP_PASSWORD'

/** Empties `<dataFolder>/quickstart` and returns its absolute path. Throws QUICKSTART_FOLDER_IN_USE. */
export async function beginFolder(dataFolder: string): Promise<string> {
  const folder = resolve(dataFolder, 'quickstart')
  const isThere = existsSync(folder)
  if (isThere && !existsSync(join(folder, markerName)) && (await readdir(folder)).length > 0) {
    throw new SluiceError(
      'QUICKSTART_FOLDER_IN_USE',
      `${folder} holds files that no quick start has made`,
    )
  }
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, markerName), 'Made by the quick start; the next one removes it.\n')
  return folder
}

/** The resource file of the shop; without the password, so that it may lie on a disk. */
export function resourceFileText(server: {
  readonly host: string
  readonly port: number
  readonly user: string
}): string {
  return `# Written by the quick start. It shows the shape of a resource file; the server it
# names lives only as long as the quick start runs.
resources:
  connections:
    shop:
      connection_type: POSTGRESQL
      options:
        host: ${server.host}
        port: "${server.port}"
        user: ${server.user}
        password: "\${env.${passwordVariable}}"
        sslmode: disable
  pipelines:
    shop_gateway:
      gateway_definition:
        connection_name: shop
        gateway_storage_catalog: main
        gateway_storage_schema: staging
        gateway_storage_name: shop
    shop_ingest:
      continuous: true
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.shop_gateway.id}
        objects:
          - schema:
              source_catalog: postgres
              source_schema: public
              destination_catalog: main
              destination_schema: shop
`
}

/** Statements to try afterwards. */
export const exampleQueries: readonly string[] = [
  'SELECT status, count(*) AS orders, sum(total) AS total FROM shop.orders GROUP BY ALL ORDER BY orders DESC',
  'SELECT p.name, sum(i.quantity) AS sold FROM shop.order_items i JOIN shop.products p ON p.id = i.product_id GROUP BY ALL ORDER BY sold DESC, p.name LIMIT 5',
  'SELECT id, tier, balance, created_at, preferences FROM shop.customers ORDER BY id LIMIT 5',
]
