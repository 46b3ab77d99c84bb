import type { ErrorCode } from '@strata/shared/errors.ts'

/**
 * What the reader and its threads tell each other. Everything here is copied between threads, except the range, whose
 * memory moves. Errors lose their class on the way, so they travel as values.
 */
export interface ReadTask {
  /** Bytes of one pack as they are stored. */
  readonly range: Uint8Array<ArrayBuffer>
  /** The records in it, one per element of the following; in the order in which they are to be written. */
  readonly blocks: Uint32Array
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
  /** One after the other. */
  readonly digests: Uint8Array
  readonly blockBytes: number
  /** Of the disk: its last block may be shorter than the others. */
  readonly diskBytes: number
  readonly blockDigestKey: Uint8Array
  /** Secret. Those of the point's data keys that records of this task name. */
  readonly dataKeys: readonly TaskDataKey[]
  readonly target: TaskTarget | null
}

export interface TaskDataKey {
  readonly keyId: string
  readonly key: Uint8Array
}

/** A file or device, or memory that the threads share. */
export type TaskTarget = FileTarget | MemoryTarget

export interface MemoryTarget {
  readonly memory: SharedArrayBuffer
  /** Where in it each record's block is to begin. */
  readonly places: Float64Array
}

export interface FileTarget {
  /** Files are open for the whole process, so a thread writes through the number alone. */
  readonly fd: number
  /** Nothing is written behind it. */
  readonly sizeBytes: number
}

export interface DamagedRecord {
  /** Position among the task's records. */
  readonly index: number
  readonly code: ErrorCode
  readonly message: string
}

export interface WriteFailure {
  /** The system's code, such as ENOSPC. */
  readonly system: string
  readonly offset: number
}

export interface ReadAnswer {
  readonly checkedBlocks: number
  /** Block bytes whose digest was right. */
  readonly checkedBytes: number
  readonly writtenBytes: number
  readonly damaged: readonly DamagedRecord[]
  readonly writeFailure: WriteFailure | null
}

/** Parts of a target that must become zeros. */
export interface ZeroTask {
  readonly fd: number
  /** Offset and length by turns. */
  readonly ranges: Float64Array
}

export interface ZeroAnswer {
  /** Bytes that were not zero before. */
  readonly writtenBytes: number
  readonly writeFailure: WriteFailure | null
}
