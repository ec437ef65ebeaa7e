/** Certificate authorities and certificates for tests, by the openssl command. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A server of a test, as far as this needs it. */
interface CertifiedServer {
  readonly folder: string
  sql(text: string): Promise<unknown>
  shutdown(): Promise<void>
  start(): Promise<void>
}

export interface Certificates {
  readonly folder: string
  /** PEM of the authority of the server and of its clients. */
  readonly ca: string
  /** PEM of another authority. */
  readonly otherCa: string
  path(name: string): string
  read(name: string): string
  /** `NAME.pem` and `NAME.key`, signed by the authority. */
  issue(name: string, subject: string, more?: readonly string[]): void
  /** Has the server, whose folder they are moved to, speak TLS with them. */
  install(server: CertifiedServer): Promise<void>
  remove(): void
}

/** A server certificate for `localhost` is `server.pem`, `server.key`. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'))
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  }
  const newKey = ['-newkey', 'rsa:2048', '-nodes']
  for (const name of ['ca', 'other']) {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`]
    openssl('req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=${name}`, ...files)
  }
  const issue: Certificates['issue'] = (name, subject, more = []) => {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.csr`]
    openssl('req', ...newKey, '-subj', `/CN=${subject}`, ...more, ...files)
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2', '-copy_extensions', 'copy']
    openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`)
  }
  issue('server', 'localhost', ['-addext', 'subjectAltName=DNS:localhost'])
  const path = (name: string): string => join(folder, name)
  const read = (name: string): string => readFileSync(path(name), 'utf8')
  return {
    folder,
    ca: read('ca.pem'),
    otherCa: read('other.pem'),
    path,
    read,
    issue,
    install: async (server) => {
      const owner = statSync(join(server.folder, 'data'))
      for (const name of ['server.key', 'server.pem', 'ca.pem']) {
        chownSync(path(name), owner.uid, owner.gid)
        chmodSync(path(name), 0o600)
      }
      chmodSync(folder, 0o755)
      await server.sql(`alter system set ssl_cert_file = '${path('server.pem')}'`)
      await server.sql(`alter system set ssl_key_file = '${path('server.key')}'`)
      await server.sql(`alter system set ssl_ca_file = '${path('ca.pem')}'`)
      await server.sql('alter system set ssl = on')
      // Read anew by every session that begins after the start.
      await server.shutdown()
      await server.start()
    },
    remove: () => rmSync(folder, { recursive: true }),
  }
}
