import { isDiskName } from '@strata/shared/disk-name.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { disksPerSetMax, nameCharsMax } from '@strata/shared/limits.ts'

/**
 * Each disk has a name of its own; names become part of file names of this machine, where case may not matter.
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
