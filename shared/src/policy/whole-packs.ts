import { archiveClasses } from '../format/storage-class.ts'
import { archivedBytesMin, wholePackBytesMin } from '../limits.ts'
import type { Policy } from './policy.ts'

/**
 * From how many bytes on a synthetic full copies packs whole. Rules archive large objects only: where a policy wants that,
 * smaller packs are put together to larger ones instead.
 */
export function wholePackBytesFrom({ storageClass }: Pick<Policy, 'storageClass'>): number {
  return storageClass.some((move) => archiveClasses.has(move.class)) ? archivedBytesMin : wholePackBytesMin
}
