import { StrataError } from './errors.ts'
import { diskNameCharsMax, disksPerSetMax, nameCharsMax } from './limits.ts'

/** A disk's name is part of POINT:DISK and of file names, also on systems that know few characters. */
const pattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

export function isDiskName(name: string): boolean {
  return pattern.test(name) && name.length <= diskNameCharsMax
}

/**
 * Each disk has a name of its own; names become part of file names of the machine, where case may not matter.
 * Errors: E_DISK_NAME; E_LIMIT for too many; E_USAGE for none.
 */
export function requireDiskNames(names: readonly string[]): void {
  if (names.length === 0) throw new StrataError('E_USAGE', 'no source was given')
  if (names.length > disksPerSetMax) {
    throw new StrataError('E_LIMIT', `${String(names.length)} disks in one set; at most ${String(disksPerSetMax)} fit`)
  }
  const seen = new Set<string>()
  for (const name of names) {
    if (!isDiskName(name)) {
      throw new StrataError(
        'E_DISK_NAME',
        `${JSON.stringify(name.slice(0, nameCharsMax))} cannot be the name of a disk`,
      )
    }
    if (seen.has(name.toLowerCase())) throw new StrataError('E_DISK_NAME', `two disks of the set have the name ${name}`)
    seen.add(name.toLowerCase())
  }
}
