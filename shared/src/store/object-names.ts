import { StrataError } from '../errors.ts'
import { objectNameCharsMax, objectNamePartCharsMax } from '../limits.ts'

/**
 * Object names are plain ASCII in lower case, so that they mean the same on every file system and in every bucket, and
 * so that comparing two of them as JavaScript strings compares their bytes.
 */
const namePattern = /^[a-z0-9._-]+(?:\/[a-z0-9._-]+)*$/
const prefixPattern = /^(?:[a-z0-9._-]+\/)*[a-z0-9._-]*$/

export function isObjectName(name: string): boolean {
  return whyNotAName(name) === undefined
}

/** Throws E_OBJECT_NAME unless `name` may name an object. */
export function checkObjectName(name: string): void {
  const why = whyNotAName(name)
  if (why !== undefined) throw new StrataError('E_OBJECT_NAME', `${quoted(name)} cannot name an object: ${why}`)
}

/** Throws E_OBJECT_NAME unless some object's name could start with `prefix`; the empty prefix starts them all. */
export function checkListPrefix(prefix: string): void {
  const why = whyNotAPrefix(prefix)
  if (why !== undefined) throw new StrataError('E_OBJECT_NAME', `${quoted(prefix)} cannot start an object name: ${why}`)
}

/** Throws E_OBJECT_NAME unless `prefix` names a directory, as `a/` does, or the empty one on top. */
export function checkDirectory(prefix: string): void {
  checkListPrefix(prefix)
  if (prefix !== '' && !prefix.endsWith('/')) {
    throw new StrataError('E_OBJECT_NAME', `${quoted(prefix)} names no directory: it does not end in a slash`)
  }
}

/** The directory directly below `prefix` in which `name` lies; undefined for what lies in none. */
export function directoryBelow(prefix: string, name: string): string | undefined {
  const slash = name.indexOf('/', prefix.length)
  return slash === -1 ? undefined : name.slice(0, slash + 1)
}

/** Whether objects can lie in `directory`, which ends in a slash. */
export function isDirectoryName(directory: string): boolean {
  return directory.endsWith('/') && isObjectName(directory.slice(0, -1))
}

/** Byte order, as every store lists. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

function whyNotAName(name: string): string | undefined {
  if (name.length > objectNameCharsMax) return tooLong(name)
  if (!namePattern.test(name)) return 'it is not made of parts of [a-z0-9._-] with single slashes between them'
  return firstProblem(name.split('/'), isDots)
}

function whyNotAPrefix(prefix: string): string | undefined {
  if (prefix.length > objectNameCharsMax) return tooLong(prefix)
  if (!prefixPattern.test(prefix)) return 'it is not made of parts of [a-z0-9._-] with single slashes between them'
  const parts = prefix.split('/')
  // The last part may go on: '..' can be the start of '..x'.
  return firstProblem(parts, (part, index) => index < parts.length - 1 && isDots(part))
}

function firstProblem(
  parts: readonly string[],
  isForbidden: (part: string, index: number) => boolean,
): string | undefined {
  for (const [index, part] of parts.entries()) {
    if (isForbidden(part, index)) return `a part must not be ${part}`
    if (part.length > objectNamePartCharsMax) {
      return `a part has ${String(part.length)} characters, at most ${String(objectNamePartCharsMax)} are allowed`
    }
  }
  return undefined
}

function isDots(part: string): boolean {
  return part === '.' || part === '..'
}

function tooLong(name: string): string {
  return `it has ${String(name.length)} characters, at most ${String(objectNameCharsMax)} are allowed`
}

/** Names that are not ours may hold anything and be of any length; a message shows their start. */
function quoted(name: string): string {
  const shownChars = 100
  return JSON.stringify(name.length > shownChars ? `${name.slice(0, shownChars)}…` : name)
}
