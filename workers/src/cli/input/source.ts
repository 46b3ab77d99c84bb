import { basename, resolve } from 'node:path'
import { isDiskName } from '@strata/shared/disk-name.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { diskNameCharsMax } from '@strata/shared/limits.ts'

/** A SOURCE of `strata backup`: a path, and the name that the disk has in the set. */
export interface NamedSource {
  readonly name: string
  /** Absolute. */
  readonly path: string
}

/**
 * Reads the SOURCEs, sorted by name: the order of disks in a chain must not depend on how a command was typed.
 *
 * What stands before the first '=' is a name when it can be one, whatever files there are: the same command means the
 * same everywhere. A path such as `a=b.img` is given as `./a=b.img` or `NAME=a=b.img`.
 */
export function parseSources(texts: readonly string[], workingDirectory: string): NamedSource[] {
  const sources = texts.map((text) => parseSource(text, workingDirectory))
  const sorted = sources.sort((a, b) => (a.name < b.name ? -1 : 1))
  requireDifferentNames(sorted)
  return sorted
}

/** Also where only the case differs: a name becomes part of file names, and some systems see no difference. */
function requireDifferentNames(sources: readonly NamedSource[]): void {
  const seen = new Map<string, NamedSource>()
  for (const source of sources) {
    const other = seen.get(source.name.toLowerCase())
    if (other !== undefined) {
      throw new StrataError('E_DISK_NAME', `${other.path} and ${source.path} would both be disk '${source.name}'`)
    }
    seen.set(source.name.toLowerCase(), source)
  }
}

function parseSource(text: string, workingDirectory: string): NamedSource {
  const equals = text.indexOf('=')
  const before = text.slice(0, Math.max(0, equals))
  if (equals > 0 && isDiskName(before))
    return { name: before, path: pathOf(text.slice(equals + 1), text, workingDirectory) }
  const path = pathOf(text, text, workingDirectory)
  return { name: nameFromPath(path), path }
}

function pathOf(path: string, text: string, workingDirectory: string): string {
  if (path === '' || path.includes('\0'))
    throw new StrataError('E_USAGE', `'${text}' names no source: PATH or NAME=PATH`)
  return resolve(workingDirectory, path)
}

/** The base name, with a dash for whatever a name cannot have. */
function nameFromPath(path: string): string {
  const name = basename(path)
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[._-]+|-+$/g, '')
    .slice(0, diskNameCharsMax)
  if (!isDiskName(name)) throw new StrataError('E_DISK_NAME', `no name for the disk follows from its path ${path}`)
  return name
}
