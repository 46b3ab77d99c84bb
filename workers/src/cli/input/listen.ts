import { StrataError } from '@strata/shared/errors.ts'

const pattern = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/

/** `HOST:PORT`, `[IPV6]:PORT`; port 0 is any free one. E_USAGE. */
export function parseListen(text: string): { readonly host: string; readonly port: number } {
  const [, ipv6, name, digits] = pattern.exec(text) ?? []
  const host = ipv6 ?? name
  const port = Number(digits)
  if (host === undefined || port > 65_535) {
    throw new StrataError('E_USAGE', `'${text}' is no address to listen on: HOST:PORT, such as 0.0.0.0:7420`)
  }
  return { host, port }
}

/** Only this machine reaches it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
