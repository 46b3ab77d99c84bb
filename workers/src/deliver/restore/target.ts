import type { Warning } from '@strata/shared/format/manifest.ts'
import type { RecordTarget } from '../../read/record-reader.ts'

/** Where a disk is restored to. Until `finish` resolves, nothing there looks like a whole disk. */
export interface RestoreTarget extends RecordTarget {
  readonly kind: 'file' | 'device'
  /** With links followed. */
  readonly path: string
  /**
   * The disk's first block is written only after all others are durable: it has the partition table or the file
   * system's superblock, without which nothing takes the device for a disk. A file has another name until the end.
   */
  readonly firstBlockLast: boolean
  readonly warnings: readonly Warning[]
  /** Bytes that can still be written, or undefined where nobody knows. */
  freeBytes(): Promise<number | undefined>
  /** Makes durable what was written so far. */
  sync(): Promise<void>
  /** Makes it durable, gives it its name, and closes it. */
  finish(): Promise<void>
  /** Closes it as it is, marked as incomplete. Says what is left there, for people; null when nothing is. */
  abandon(): Promise<string | null>
}
