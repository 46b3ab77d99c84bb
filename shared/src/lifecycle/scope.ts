import { repositoryName, tenantsPrefix } from '../format/names.ts'
import { packBytesMax } from '../limits.ts'

/** Which objects of a bucket are ours, as far as a rule's filter can tell. */
export interface LifecycleScope {
  readonly use: 'repository' | 'staging'
  /** Of the store: empty, or ends in a slash. With Azure the container comes first. */
  readonly prefix: string
  /** Whether the bucket keeps older versions of objects, or has kept some. */
  readonly keepsVersions: boolean
}

/** No name of ours has other characters behind the store's prefix. */
const ownNamePattern = /^[a-z0-9._/-]*$/

/** Whether a filter by prefix lets objects of ours through. */
export function canMeetPrefix({ use, prefix }: LifecycleScope, filterPrefix: string): boolean {
  const roots = use === 'staging' ? [prefix] : [prefix + repositoryName, prefix + tenantsPrefix]
  return roots.some((root) => {
    if (root.startsWith(filterPrefix)) return true
    return filterPrefix.startsWith(root) && ownNamePattern.test(filterPrefix.slice(root.length))
  })
}

/** Whether a filter by size does: no object of ours is empty, or larger than a pack can be. */
export function canMeetSize(largerThanBytes: number | undefined, smallerThanBytes: number | undefined): boolean {
  return (largerThanBytes ?? 0) < packBytesMax && (smallerThanBytes ?? Infinity) > 1
}

/** For messages. */
export function objectsText({ use }: LifecycleScope): string {
  return use === 'staging' ? 'segments that no worker has packed yet' : 'objects that points need'
}
