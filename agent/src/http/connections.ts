import { readFileSync } from 'node:fs'
import { createSecureContext, getCACertificates } from 'node:tls'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { httpAgents, type HttpAgents } from '@strata/shared/store/http-transfer.ts'

export interface ConnectionOptions {
  /** PEM certificates of an authority of one's own, trusted beside those of Node and of this machine. */
  readonly caPath?: string | undefined
  /** `http://` or `https://` URL; with user and password where it wants them. */
  readonly proxy?: string | undefined
}

/** Connections to the service and the staging area. E_CONFIGURATION. */
export function openConnections({ caPath, proxy }: ConnectionOptions): HttpAgents {
  if (proxy !== undefined && !/^https?:$/.test(URL.canParse(proxy) ? new URL(proxy).protocol : '')) {
    throw new StrataError('E_CONFIGURATION', 'the proxy is no http:// or https:// URL')
  }
  const own = caPath === undefined ? [] : [readCertificates(caPath)]
  return httpAgents({
    trust: () => createSecureContext({ ca: [...trustedHere(), ...own] }),
    ...(proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }),
  })
}

export function closeConnections({ http, https }: HttpAgents): void {
  http.destroy()
  https.destroy()
}

/** Those of Node and of NODE_EXTRA_CA_CERTS, and those of the system, which are the same for the most part. */
function trustedHere(): ReadonlySet<string> {
  return new Set([...getCACertificates('default'), ...getCACertificates('system')])
}

function readCertificates(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_CONFIGURATION', `the certificates in ${path} cannot be read: ${reason}`, { cause: error })
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new StrataError('E_CONFIGURATION', `${path} holds no certificate in PEM form`)
}
