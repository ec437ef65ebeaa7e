/**
 * Services that run PostgreSQL for others, recognised by roles and settings that only they have.
 * There nobody is superuser and ALTER SYSTEM is not for customers, so what mends something is said
 * in the words of the service. Taken from the documentation of the services.
 */
import type { Control } from './control.ts'
import { quoteIdentifier } from './sql-text.ts'

export type ServiceKind =
  | 'own'
  | 'rds'
  | 'aurora'
  | 'azure'
  | 'cloudsql'
  | 'alloydb'
  | 'neon'
  | 'supabase'
  | 'other'

export interface ManagedService {
  readonly kind: ServiceKind
  /** For people. */
  readonly name: string
  /** Turns logical decoding on. */
  readonly walLevelRemedy: string
  /** Sets a setting of the server; `restart`: it takes effect with one. */
  settingRemedy(name: string, value: string, restart: boolean): string
  /** Lets a role replicate. */
  replicationRemedy(role: string): string
}

/** Each row is a sign; several may be there, as Aurora has those of RDS. */
const signsSql = `
  SELECT 'role ' || rolname AS sign FROM pg_roles WHERE rolname IN
    ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser', 'alloydbsuperuser', 'neon_superuser', 'supabase_admin')
  UNION ALL SELECT 'setting ' || name FROM unnest(ARRAY['rds.logical_replication', 'azure.extensions',
    'cloudsql.logical_decoding', 'alloydb.logical_decoding', 'neon.tenant_id']) AS t (name)
    WHERE current_setting(name, true) IS NOT NULL
  UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE proname = 'aurora_version'
  UNION ALL SELECT 'no superuser' WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolsuper AND rolcanlogin)`

/** The first that fits counts. */
const services: readonly { readonly kind: ServiceKind; readonly signs: readonly string[] }[] = [
  { kind: 'aurora', signs: ['function aurora_version'] },
  { kind: 'rds', signs: ['role rds_superuser', 'setting rds.logical_replication'] },
  { kind: 'azure', signs: ['role azure_pg_admin', 'setting azure.extensions'] },
  { kind: 'alloydb', signs: ['role alloydbsuperuser', 'setting alloydb.logical_decoding'] },
  { kind: 'cloudsql', signs: ['role cloudsqlsuperuser', 'setting cloudsql.logical_decoding'] },
  { kind: 'neon', signs: ['role neon_superuser', 'setting neon.tenant_id'] },
  { kind: 'supabase', signs: ['role supabase_admin'] },
  { kind: 'other', signs: ['no superuser'] },
]

export async function recogniseService(control: Control): Promise<ManagedService> {
  const signs = new Set((await control.query(signsSql)).map(({ sign }) => sign))
  const found = services.find((service) => service.signs.some((sign) => signs.has(sign)))
  return managedService(found?.kind ?? 'own')
}

const alterRole = (role: string): string => `ALTER ROLE ${quoteIdentifier(role)} REPLICATION;`

/** A command line with the setting in it, once the service's own words are known. */
type SettingCommand = (name: string, value: string, restart: boolean) => string

const parameterGroup =
  (kind: 'db' | 'db-cluster', what: string): SettingCommand =>
  (name, value, restart) =>
    `aws rds modify-${kind}-parameter-group --${kind}-parameter-group-name GROUP --parameters "ParameterName=${name},ParameterValue=${value},ApplyMethod=${restart ? 'pending-reboot' : 'immediate'}"${restart ? ` -- then reboot ${what}` : ''}`

const azureParameter: SettingCommand = (name, value, restart) =>
  `az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name ${name} --value ${value}${restart ? ' -- then: az postgres flexible-server restart --resource-group GROUP --name SERVER' : ''}`

const databaseFlag =
  (command: string): SettingCommand =>
  (name, value, restart) =>
    `${command} --database-flags=${name}=${value} -- with all other flags, which it replaces${restart ? '; it restarts the instance' : ''}`

const cloudSqlFlag = databaseFlag('gcloud sql instances patch INSTANCE')
const alloyDbFlag = databaseFlag(
  'gcloud alloydb instances update INSTANCE --cluster=CLUSTER --region=REGION',
)

const inConsole =
  (where: string): SettingCommand =>
  (name, value, restart) =>
    `${where}: set ${name} to ${value}${restart ? ', then restart' : ''}`

const grantRds = (role: string): string => `GRANT rds_replication TO ${quoteIdentifier(role)};`

const rdsInstance = parameterGroup('db', 'the instance')
const auroraCluster = parameterGroup('db-cluster', 'the writer instance')

const supabaseConfig: SettingCommand = (name, value) =>
  `supabase --experimental postgres-config update --config ${name}=${value} --project-ref PROJECT`

type ServiceWords = Omit<ManagedService, 'kind'>

/** One that is set up with one command. */
function words(
  name: string,
  setting: SettingCommand,
  walLevelRemedy: string,
  replicationRemedy: (role: string) => string = alterRole,
): ServiceWords {
  return { name, settingRemedy: setting, walLevelRemedy, replicationRemedy }
}

const rdsParameter = 'rds.logical_replication'

const known: Readonly<Record<ServiceKind, ServiceWords>> = {
  own: words(
    'PostgreSQL',
    alterSystem,
    'ALTER SYSTEM SET wal_level = logical; -- then restart the server',
  ),
  rds: words('Amazon RDS', rdsInstance, rdsInstance(rdsParameter, '1', true), grantRds),
  aurora: words('Amazon Aurora', auroraCluster, auroraCluster(rdsParameter, '1', true), grantRds),
  azure: words(
    'Azure Database for PostgreSQL',
    azureParameter,
    azureParameter('wal_level', 'logical', true),
  ),
  cloudsql: words('Cloud SQL', cloudSqlFlag, cloudSqlFlag('cloudsql.logical_decoding', 'on', true)),
  alloydb: words('AlloyDB', alloyDbFlag, alloyDbFlag('alloydb.logical_decoding', 'on', true)),
  neon: words(
    'Neon',
    inConsole('Ask the support of Neon'),
    'In the console of Neon, Settings, Logical Replication: enable it',
  ),
  supabase: words('Supabase', supabaseConfig, supabaseConfig('wal_level', 'logical', true)),
  other: words(
    'a managed service',
    inConsole('In the settings of the service'),
    'In the settings of the service: turn logical replication on (wal_level = logical)',
  ),
}

export function managedService(kind: ServiceKind): ManagedService {
  return { kind, ...known[kind] }
}

function alterSystem(name: string, value: string, restart: boolean): string {
  const literal = /^[0-9]+$/.test(value) ? value : `'${value}'`
  const then = restart ? ' -- then restart the server' : ' SELECT pg_reload_conf();'
  return `ALTER SYSTEM SET ${name} = ${literal};${then}`
}
