import { equalBytes } from '@strata/shared/format/bytes.ts'
import { digestBytes, sealedHash } from '@strata/shared/format/digest.ts'
import { announceLoaded } from '@strata/shared/threads/loaded.ts'
import type { PieceAnswer, PieceTask } from './piece-task.ts'

/** Runs in a thread: compares pieces of an object with the hashes that its open section has for them. */
export default function checkPieces({ range, offsets, lengths, hashes }: PieceTask): PieceAnswer {
  const bad: number[] = []
  for (const [index, offset] of offsets.entries()) {
    const hash = sealedHash(range.subarray(offset, offset + (lengths[index] ?? 0)))
    if (!equalBytes(hash, hashes.subarray(index * digestBytes, (index + 1) * digestBytes))) bad.push(index)
  }
  // Frees the range at once: garbage collection would let many of them pile up.
  range.buffer.transfer(0)
  return bad
}

announceLoaded()
