import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'

/** Where a certificate and its private key lie, PEM. */
export interface TlsFiles {
  readonly certPath: string
  readonly keyPath: string
}

export interface Tls {
  readonly cert: string
  readonly key: string
}

/** What is no certificate, or not its key, or cannot be read: E_CONFIGURATION. */
export async function readTls({ certPath, keyPath }: TlsFiles): Promise<Tls> {
  const tls = { cert: await readPem(certPath), key: await readPem(keyPath) }
  try {
    createSecureContext(tls)
    return tls
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    const message = `${certPath} and ${keyPath} are no certificate and its key: ${reason}`
    throw new StrataError('E_CONFIGURATION', message, { cause: error })
  }
}

/** Certificates of authorities. The same errors. */
export async function readAuthorities(path: string): Promise<string> {
  const ca = await readPem(path)
  try {
    createSecureContext({ ca })
  } catch (error) {
    throw new StrataError('E_CONFIGURATION', `${path} has no certificates: ${String(error)}`, { cause: error })
  }
  if (!ca.includes('-----BEGIN CERTIFICATE-----'))
    throw new StrataError('E_CONFIGURATION', `${path} has no certificates`)
  return ca
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_CONFIGURATION', `${path} cannot be read: ${reason}`, { cause: error })
  }
}
