import { ContentRootBuilder, zeroDigest } from '@strata/shared/format/digest.ts'
import type { FinishRequest, OpenRequest, SessionInfo } from '@strata/shared/protocol/uplink.ts'

const disk = { name: 'disk', sizeBytes: 65_536, identity: {}, blockBytes: 65_536 }

/** What an agent asks and says of a disk of one block of zeros: a whole session that sends nothing. */
export const zeroSession: OpenRequest = { setName: 'machine', kind: 'auto', disks: [disk] }

export function endOfZeroSession({ treeDigestKey }: SessionInfo): FinishRequest {
  const root = new ContentRootBuilder(Buffer.from(treeDigestKey), disk)
  root.push(zeroDigest)
  return {
    segments: 0,
    contentRoots: [root.finish()],
    capturedAt: '2026-01-01T00:00:00.000Z',
    consistency: 'unchanged',
    machine: { hostName: '', system: '', architecture: '' },
    scannedBytes: disk.sizeBytes,
    changedBytes: 0,
    warnings: [],
  }
}
