/** What a scrub and its threads tell each other. All of it is copied between threads, except the range, whose memory moves. */
export interface PieceTask {
  /** Bytes of one object as they are stored. */
  readonly range: Uint8Array<ArrayBuffer>
  /** The pieces in it, one per element. */
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
  /** What the object says they are, one after the other. */
  readonly hashes: Uint8Array
}

/** Positions of the pieces that are not what the object says. */
export type PieceAnswer = readonly number[]
