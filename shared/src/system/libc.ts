import { createRequire } from 'node:module'

/** The way to what Node does not offer of the C library. Loaded with the first call, since most sources need none. */
let loaded: typeof import('koffi') | undefined

export function koffi(): typeof import('koffi') {
  loaded ??= createRequire(import.meta.url)('koffi') as typeof import('koffi')
  return loaded
}
