import type { ErrorDocument } from '@strata/shared/errors.ts'

/**
 * What main thread and scan threads say to each other. A task is complete in itself: blocks `firstBlock …` of a
 * source, what they are compared with, and the open segment that takes those that differ.
 */
export interface ScanTask {
  readonly sourceFd: number
  readonly sourcePath: string
  /** It is read with `readDirect`. */
  readonly sourceDirect: boolean
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly firstBlock: number
  readonly blockCount: number
  /** Pairs: first block with data, block after the last one; all else are holes. Null: all is data. */
  readonly dataRuns: Uint32Array | null
  /** Digests to compare with; null: all zeros. */
  readonly reference: Uint8Array | null
  readonly blockDigestKey: Uint8Array
  readonly segment: OpenSegment
}

/** Room in a segment file that is being filled. */
export interface OpenSegment {
  readonly fd: number
  readonly path: string
  /** Where the next frame goes. */
  readonly framesBytes: number
  readonly framesBytesMax: number
  readonly entriesFree: number
}

export const blockStates = { same: 0, zero: 1, data: 2 } as const

export interface ScanAnswer {
  /** Fewer than asked for when the segment is full; the rest needs another one. */
  readonly blocksDone: number
  /** One digest for each block done. */
  readonly digests: Uint8Array
  /** One of `blockStates` for each block done; frames of the `data` ones follow each other in the segment. */
  readonly states: Uint8Array
  readonly bytesRead: number
  readonly framesBytes: number
}

/** Errors cross threads as documents, since their class does not survive it. */
export type ScanReply = ScanAnswer | { readonly error: ErrorDocument }
