import { StrataError } from '@strata/shared/errors.ts'
import type { TlsFiles } from '../../tls-files.ts'

/** --tls-cert and --tls-key. */
export interface TlsOptions {
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/** undefined: neither was given. One alone: E_USAGE. */
export function tlsFilesOf({ tlsCert, tlsKey }: TlsOptions): TlsFiles | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert !== undefined && tlsKey !== undefined) return { certPath: tlsCert, keyPath: tlsKey }
  throw new StrataError('E_USAGE', '--tls-cert and --tls-key go together')
}
