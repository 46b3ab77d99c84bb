import { StrataError } from '@strata/shared/errors.ts'
import type { Point } from '@strata/shared/repository/points.ts'

/** Index of the disk of a name, which is needed only where there are several. E_DISK_AMBIGUOUS, E_DISK_UNKNOWN. */
export function chooseDisk(point: Point, name: string | undefined): number {
  const names = point.manifest.disks.map((disk) => disk.name)
  const listed = `point ${point.manifest.point} has ${names.map((known) => `'${known}'`).join(', ')}`
  if (name === undefined) {
    if (names.length > 1)
      throw new StrataError('E_DISK_AMBIGUOUS', `${listed}: which disk is it to be?`, { details: { disks: names } })
    return 0
  }
  const index = names.indexOf(name)
  if (index < 0)
    throw new StrataError('E_DISK_UNKNOWN', `there is no disk '${name}': ${listed}`, { details: { disks: names } })
  return index
}
