import { join } from 'node:path'
import { runTool } from '../fixtures/tool.ts'
import type { Requirement } from '../servers/require-server.ts'

/** Certificates as an operator makes them with openssl. */
export interface Certificate {
  readonly certPath: string
  readonly keyPath: string
}

export const opensslRequirement: Requirement = {
  name: 'OpenSSL',
  programs: ['openssl'],
  remedy: 'apt-get install openssl',
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

export async function makeAuthority(directory: string, name: string): Promise<Certificate> {
  const made = pathsOf(directory, name)
  const files = ['-keyout', made.keyPath, '-out', made.certPath]
  await runTool('openssl', ['req', '-x509', ...newKey, ...files, '-subj', `/CN=${name}`, '-days', '2'])
  return made
}

export interface Wanted {
  readonly name: string
  /** For whom it is good, as `IP:127.0.0.1`. */
  readonly subject: string
  /** Less than none: it has run out. */
  readonly days: number
}

export async function issue(directory: string, by: Certificate, { name, subject, days }: Wanted): Promise<Certificate> {
  const made = pathsOf(directory, name)
  const request = join(directory, `${name}.csr`)
  const asked = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${subject}`]
  await runTool('openssl', ['req', ...newKey, '-keyout', made.keyPath, '-out', request, ...asked])
  const authority = ['-CA', by.certPath, '-CAkey', by.keyPath, '-copy_extensions', 'copy']
  await runTool('openssl', ['x509', '-req', '-in', request, ...authority, '-days', String(days), '-out', made.certPath])
  return made
}

function pathsOf(directory: string, name: string): Certificate {
  return { certPath: join(directory, `${name}.pem`), keyPath: join(directory, `${name}.key`) }
}
