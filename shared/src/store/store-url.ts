import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StrataError } from '../errors.ts'
import { storePrefixCharsMax, storeUrlCharsMax } from '../limits.ts'

/**
 * Store URLs: `file:///directory`, `s3://bucket/prefix?endpoint=…&region=…&pathStyle=…&checksums=…`,
 * `azure://container/prefix?endpoint=…`. They never hold credentials; those come from the environment.
 *
 * A URL may come from a configuration file or a person in a hurry, and may hold a password where none belongs. So a
 * message repeats no more of it than the scheme and names of parameters.
 */
export type StoreLocation = FileLocation | S3Location | AzureLocation

export interface FileLocation {
  readonly kind: 'file'
  /** Absolute. */
  readonly path: string
}

export interface S3Location {
  readonly kind: 's3'
  readonly bucket: string
  /** Empty, or ends in a slash. */
  readonly prefix: string
  /** An origin, without a path. */
  readonly endpoint: string | undefined
  readonly region: string | undefined
  /** Left out: where an endpoint is given. */
  readonly pathStyle: boolean | undefined
  readonly checksums: 'when_supported' | 'when_required'
}

export interface AzureLocation {
  readonly kind: 'azure'
  readonly container: string
  /** Empty, or ends in a slash. */
  readonly prefix: string
  /** May have a path: Azurite has the account's name there. Without a slash at its end. */
  readonly endpoint: string | undefined
}

const urlPattern = /^(?<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?<rest>.*)$/s
const bucketUrlPattern = /^\/\/(?<host>[^/?]*)(?:\/(?<path>[^?]*))?(?:\?(?<query>.*))?$/s
const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const containerPattern = /^(?=.{3,63}$)(?:\$root|\$logs|[a-z0-9]+(?:-[a-z0-9]+)*)$/
const prefixPartPattern = /^[A-Za-z0-9._=+@-]+$/
const regionPattern = /^[A-Za-z0-9-]{1,64}$/

/** Throws E_STORE_URL, saying what is wrong, unless `url` names a store. No I/O. */
export function parseStoreUrl(url: string): StoreLocation {
  if (url === '') throw urlError('it is empty')
  if (url.length > storeUrlCharsMax) throw urlError(`it has more than ${String(storeUrlCharsMax)} characters`)
  if (!/^[\x20-\x7e]*$/.test(url)) throw urlError('it has characters that are not printable ASCII; write them as %XX')
  const { scheme, rest } = urlPattern.exec(url)?.groups ?? {}
  if (scheme === undefined || rest === undefined) throw urlError(withoutScheme(url))
  if (url.includes('#')) throw urlError('it has a # in it')
  switch (scheme) {
    case 'file':
      return parseFile(url, rest)
    case 's3':
      return parseS3(rest)
    case 'azure':
      return parseAzure(rest)
    default:
      throw urlError(`stores start with file:, s3: or azure:, not with ${scheme}:`)
  }
}

function withoutScheme(url: string): string {
  return isAbsolute(url) ? 'it is a path; a directory is given as file:///directory' : 'it has no scheme'
}

function parseFile(url: string, rest: string): FileLocation {
  if (!rest.startsWith('//')) throw urlError('file: needs an absolute path after two slashes: file:///directory')
  if (!rest.startsWith('///')) throw urlError('file:// needs a third slash, for the path: file:///directory')
  if (rest.includes('?')) throw urlError('file:// takes no parameters; write a question mark in a path as %3F')
  const path = decodePath(url)
  if (path.includes('\0')) throw urlError('its path has a zero byte in it')
  return { kind: 'file', path }
}

function decodePath(url: string): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw urlError('its path cannot be decoded', error)
  }
}

function parseS3(rest: string): S3Location {
  const { host, path, query } = parseBucketUrl('s3', rest)
  if (!bucketPattern.test(host) || host.includes('..')) {
    throw urlError('the bucket after s3:// needs 3 to 63 characters of a-z, 0-9, dot and dash')
  }
  const parameters = parseParameters('s3', query, ['endpoint', 'region', 'pathStyle', 'checksums'])
  const region = parseRegion(parameters.get('region'))
  const endpoint = parseEndpoint(parameters.get('endpoint'))
  if (endpoint !== undefined && new URL(endpoint).pathname !== '/') throw urlError('an S3 endpoint has no path')
  return {
    kind: 's3',
    bucket: host,
    prefix: parsePrefix(path),
    endpoint,
    region,
    pathStyle: parseBoolean('pathStyle', parameters.get('pathStyle')),
    checksums: parseChecksums(parameters.get('checksums')),
  }
}

function parseAzure(rest: string): AzureLocation {
  const { host, path, query } = parseBucketUrl('azure', rest)
  if (!containerPattern.test(host)) {
    throw urlError(
      'the container after azure:// needs 3 to 63 characters of a-z and 0-9, with single dashes between them',
    )
  }
  const parameters = parseParameters('azure', query, ['endpoint'])
  const endpoint = parseEndpoint(parameters.get('endpoint'))
  return { kind: 'azure', container: host, prefix: parsePrefix(path), endpoint }
}

interface BucketUrl {
  readonly host: string
  readonly path: string
  readonly query: string
}

function parseBucketUrl(scheme: string, rest: string): BucketUrl {
  const groups = bucketUrlPattern.exec(rest)?.groups
  if (groups === undefined) throw urlError(`${scheme}: needs two slashes and a name: ${scheme}://name/prefix`)
  const host = groups['host'] ?? ''
  if (host.includes('@')) throw urlError('credentials never stand in the URL; give them in the environment')
  return { host, path: groups['path'] ?? '', query: groups['query'] ?? '' }
}

/** One slash at the end makes no difference; anything else that is empty or climbs is refused. */
function parsePrefix(path: string): string {
  const bare = path.endsWith('/') ? path.slice(0, -1) : path
  if (bare === '') {
    if (path === '') return ''
    throw urlError('its prefix is only a slash')
  }
  if (bare.length > storePrefixCharsMax) {
    throw urlError(`its prefix has more than ${String(storePrefixCharsMax)} characters`)
  }
  for (const part of bare.split('/')) {
    if (!prefixPartPattern.test(part) || part === '.' || part === '..') {
      throw urlError('its prefix needs parts of letters, digits and . _ = + @ - with single slashes between them')
    }
  }
  return `${bare}/`
}

function parseParameters(scheme: string, query: string, known: readonly string[]): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(query)) {
    if (!known.includes(name)) {
      throw urlError(`${scheme} has no parameter ${JSON.stringify(name.slice(0, 40))}, only ${known.join(', ')}`)
    }
    if (parameters.has(name)) throw urlError(`${name} is given twice`)
    if (value === '') throw urlError(`${name} is empty`)
    parameters.set(name, value)
  }
  return parameters
}

/** Also for endpoints from the environment. Throws E_STORE_URL. */
export function parseEndpoint(value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (!URL.canParse(value)) throw urlError('endpoint is not a URL')
  const endpoint = new URL(value)
  if (endpoint.protocol !== 'http:' && endpoint.protocol !== 'https:')
    throw urlError('endpoint is neither http nor https')
  if (endpoint.username !== '' || endpoint.password !== '') {
    throw urlError('credentials never stand in the endpoint; give them in the environment')
  }
  if (endpoint.search !== '' || endpoint.hash !== '') throw urlError('endpoint has parameters')
  return endpoint.origin + endpoint.pathname.replace(/\/+$/, '')
}

/** Also for regions from the environment. Throws E_STORE_URL. */
export function parseRegion(value: string | undefined): string | undefined {
  if (value !== undefined && !regionPattern.test(value)) {
    throw urlError('region is not a name of letters, digits and dashes')
  }
  return value
}

function parseBoolean(name: string, value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined
  if (value === 'true') return true
  if (value === 'false') return false
  throw urlError(`${name} is neither true nor false`)
}

function parseChecksums(value: string | undefined): S3Location['checksums'] {
  if (value === undefined || value === 'when_supported') return 'when_supported'
  if (value === 'when_required') return value
  throw urlError('checksums is neither when_supported nor when_required')
}

function urlError(what: string, cause?: unknown): StrataError {
  return new StrataError('E_STORE_URL', `the store URL is not right: ${what}`, { cause })
}
