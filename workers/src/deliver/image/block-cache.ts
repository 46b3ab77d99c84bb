import { invariant } from '@strata/shared/errors.ts'

/** Room for one block. */
export interface BlockSlot {
  readonly block: number
  /** Where its bytes begin in the cache's memory. */
  readonly place: number
  /** How many need it to stay. */
  leases: number
  /** undefined: the block is there. */
  filling: Promise<void> | undefined
}

/**
 * Blocks of a disk that were read, in one piece of memory that threads share: they put blocks straight into their slots. As
 * much is kept as there are slots. Of those that nobody needs to stay, the one that was used longest ago gives way.
 */
export class BlockCache {
  readonly memory: SharedArrayBuffer
  readonly #blockBytes: number
  /** By block, used longest ago first. */
  readonly #slots = new Map<number, BlockSlot>()
  readonly #free: number[]

  constructor(blockBytes: number, slots: number) {
    invariant(slots >= 1, 'room for one block at least')
    this.#blockBytes = blockBytes
    this.memory = new SharedArrayBuffer(slots * blockBytes)
    this.#free = Array.from({ length: slots }, (_, index) => (slots - 1 - index) * blockBytes)
  }

  has(block: number): boolean {
    return this.#slots.has(block)
  }

  /** It counts as used now. */
  get(block: number): BlockSlot | undefined {
    const slot = this.#slots.get(block)
    if (slot !== undefined) {
      this.#slots.delete(block)
      this.#slots.set(block, slot)
    }
    return slot
  }

  /** A slot for a block that has none; undefined: all are needed by others. */
  reserve(block: number): BlockSlot | undefined {
    invariant(!this.#slots.has(block), 'a block has one slot')
    const place = this.#free.pop() ?? this.#makeRoom()
    if (place === undefined) return undefined
    const slot: BlockSlot = { block, place, leases: 0, filling: undefined }
    this.#slots.set(block, slot)
    return slot
  }

  /** What could not be filled. Whoever still has a lease on it learns so from `filling`. */
  drop(slot: BlockSlot): void {
    if (this.#slots.get(slot.block) !== slot) return
    this.#slots.delete(slot.block)
    this.#free.push(slot.place)
  }

  bytes(slot: BlockSlot, from: number, to: number): Uint8Array {
    invariant(to <= this.#blockBytes, 'a part of the block')
    return new Uint8Array(this.memory, slot.place + from, to - from)
  }

  #makeRoom(): number | undefined {
    for (const slot of this.#slots.values()) {
      if (slot.leases > 0 || slot.filling !== undefined) continue
      this.#slots.delete(slot.block)
      return slot.place
    }
    return undefined
  }
}
