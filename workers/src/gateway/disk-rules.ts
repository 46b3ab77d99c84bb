import { requireDiskNames } from '@strata/shared/disk-name.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { DiskDescription, DiskIdentity, Manifest, Warning } from '@strata/shared/format/manifest.ts'
import { diskCounts, isBlockBytes } from '@strata/shared/format/root.ts'
import { blockBytesDefault, blockBytesMax, blocksPerDiskMax } from '@strata/shared/limits.ts'
import type { OfferedDisk } from '@strata/shared/protocol/uplink.ts'

/**
 * Which disks may continue a chain. Pure. docs/decisions/0004-when-a-chain-ends.md.
 */
export type ChainVerdict =
  | { readonly continues: true; readonly disks: readonly DiskDescription[]; readonly warnings: readonly Warning[] }
  | { readonly continues: false; readonly warning: Warning }

/** Whether `offered` may continue the chain that `base` belongs to; refuses (throws) where a person should decide. */
export function judgeDisks(base: Manifest, offered: readonly OfferedDisk[]): ChainVerdict {
  requireSameNames(base, offered)
  const warnings: Warning[] = []
  const disks: DiskDescription[] = []
  for (const [index, disk] of offered.entries()) {
    const before = base.disks[index]
    if (before === undefined) throw new StrataError('E_BUG', 'the names were compared')
    requireSameIdentity(disk, before.identity)
    if (disk.sizeBytes < before.sizeBytes) {
      throw new StrataError(
        'E_DISK_SHRANK',
        `disk '${disk.name}' had ${String(before.sizeBytes)} bytes in its last point and has ${String(disk.sizeBytes)} now`,
      )
    }
    if (disk.blockBytes !== undefined && disk.blockBytes !== before.blockBytes) {
      const message = `disk '${disk.name}': the block size changes from ${String(before.blockBytes)} to ${String(disk.blockBytes)} bytes, so a new chain begins`
      return { continues: false, warning: { code: 'W_NEW_BLOCK_SIZE', message } }
    }
    if (diskCounts(disk.sizeBytes, before.blockBytes).blocks > blocksPerDiskMax) {
      const message = `disk '${disk.name}' grew past what blocks of ${String(before.blockBytes)} bytes can describe, so a new chain begins`
      return { continues: false, warning: { code: 'W_NEW_BLOCK_SIZE', message } }
    }
    if (disk.sizeBytes > before.sizeBytes) {
      const message = `disk '${disk.name}' grew from ${String(before.sizeBytes)} to ${String(disk.sizeBytes)} bytes; the chain goes on`
      warnings.push({ code: 'W_DISK_GREW', message })
    }
    const { name, sizeBytes, identity } = disk
    disks.push({ name, sizeBytes, identity, blockBytes: before.blockBytes })
  }
  return { continues: true, disks, warnings }
}

/** The disks of a new chain. Those of one that is continued have the names of its base. */
export function describeNewDisks(offered: readonly OfferedDisk[]): DiskDescription[] {
  // An agent sees to it that they are good; not everybody who speaks to a service is one.
  requireDiskNames(offered.map(({ name }) => name))
  return offered.map((disk) => {
    const { name, sizeBytes, identity } = disk
    const blockBytes = disk.blockBytes ?? smallestBlockBytes(sizeBytes)
    if (!isBlockBytes(blockBytes)) {
      throw new StrataError(
        'E_USAGE',
        `a block size of ${String(blockBytes)} bytes: it must be a power of two from 64 KiB to 4 MiB`,
      )
    }
    if (diskCounts(sizeBytes, blockBytes).blocks > blocksPerDiskMax) {
      throw new StrataError(
        'E_SOURCE_TOO_LARGE',
        `disk '${name}' of ${String(sizeBytes)} bytes has more than ${String(blocksPerDiskMax)} blocks of ${String(blockBytes)} bytes`,
      )
    }
    return { name, sizeBytes, identity, blockBytes }
  })
}

/** The default, or on very large disks the smallest that still counts all blocks. */
function smallestBlockBytes(sizeBytes: number): number {
  let blockBytes = blockBytesDefault
  while (blockBytes < blockBytesMax && diskCounts(sizeBytes, blockBytes).blocks > blocksPerDiskMax) blockBytes *= 2
  return blockBytes
}

function requireSameNames(base: Manifest, offered: readonly OfferedDisk[]): void {
  const before = base.disks.map(({ name }) => name)
  const now = offered.map(({ name }) => name)
  if (before.length !== now.length || before.some((name, index) => name !== now[index])) {
    throw new StrataError(
      'E_DISK_SET_CHANGED',
      `the set's chain has the disks ${before.join(', ')}, and this backup has ${now.join(', ')}`,
    )
  }
}

/**
 * A disk is another one when the strongest mark that its base had is not on it any more. A disk that had none (blank,
 * or unknown contents) says nothing either way.
 */
function requireSameIdentity(disk: OfferedDisk, before: DiskIdentity): void {
  for (const mark of ['gpt', 'mbr', 'filesystem'] as const) {
    const expected = before[mark]
    if (expected === undefined) continue
    const found = disk.identity[mark]
    if (found === expected) return
    throw new StrataError(
      'E_DISK_IDENTITY',
      `disk '${disk.name}' was ${mark} ${expected} in its last point, and is ${found ?? 'without one'} now`,
    )
  }
}
