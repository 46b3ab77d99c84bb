import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { SessionInfo } from '@strata/shared/protocol/uplink.ts'
import type { DigestReference } from './digest-reference.ts'

/**
 * A reference that no wanted block equals, whatever is on the disk: so they are read and sent like blocks that changed.
 * The service knows that they are damaged in the store.
 */
export function withoutWanted(reference: DigestReference, wanted: NonNullable<SessionInfo['wanted']>): DigestReference {
  if (wanted.length === 0) return reference
  return {
    page: async (page) => {
      const digests = await reference.page(page)
      const first = page * pageEntriesMax
      const touching = wanted.filter(({ block, blocks }) => block < first + pageEntriesMax && block + blocks > first)
      if (digests === null || touching.length === 0) return digests
      const changed = digests.slice()
      for (const { block, blocks } of touching) {
        const end = Math.min((block + blocks - first) * digestBytes, changed.length)
        for (let at = Math.max(0, block - first) * digestBytes; at < end; at += digestBytes) {
          changed[at] = (changed[at] ?? 0) ^ 0xff
        }
      }
      return changed
    },
    pageWithData: (page) => reference.pageWithData(page),
  }
}
