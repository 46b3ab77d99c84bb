import type { DiskIdentity } from '@strata/shared/format/manifest.ts'
import { filesystemOf } from './identity-filesystem.ts'
import { gptGuid, mbrSignature } from './identity-partitions.ts'
import type { Sectors } from './sectors.ts'

/**
 * What tells this disk from another, read from the disk itself: what its owner wrote there stays the same when the
 * disk moves to another machine, controller or file name. A blank disk has none of it.
 *
 * With a partition table, what else lies in the first sectors is left over from earlier days and says nothing; so a
 * file system counts only on a disk without one.
 */
export function identityOf(sectors: Sectors): DiskIdentity {
  const gpt = gptGuid(sectors)
  const mbr = mbrSignature(sectors)
  if (gpt !== null) return { gpt, ...(mbr?.signature === undefined ? {} : { mbr: mbr.signature }) }
  if (mbr !== null) return mbr.signature === undefined ? {} : { mbr: mbr.signature }
  const filesystem = filesystemOf(sectors)
  return filesystem === null ? {} : { filesystem }
}
