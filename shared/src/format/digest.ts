import { blake3, Blake3Hasher } from '@napi-rs/blake-hash'
import { invariant } from '../errors.ts'
import { pageEntriesMax } from '../limits.ts'
import { bufferOf, viewOf } from './bytes.ts'

/**
 * Keyed BLAKE3-256. docs/format.md, "Digests".
 *
 * A block of zeros has the digest of 32 zero bytes, and so has a page or node of nothing but such digests: a disk
 * that is mostly holes costs nothing to describe.
 */
export const digestBytes = 32
export const zeroDigest: Uint8Array = new Uint8Array(digestBytes)

const pageLevel = 0
const nodeLevel = 1
const rootLevel = 2

/** Digest of a block that is not all zeros, under the set's block-digest key. */
export function blockDigest(blockDigestKey: Buffer, block: Uint8Array): Buffer {
  return Blake3Hasher.newKeyed(blockDigestKey).update(block).digestBuffer()
}

/**
 * Digests of many blocks under one key. A hasher for each block would leave kilobytes of native memory behind that the
 * garbage collection does not know of: tens of MiB for a few GiB of blocks.
 */
export class BlockDigester {
  readonly #hasher: Blake3Hasher

  constructor(blockDigestKey: Buffer) {
    this.#hasher = Blake3Hasher.newKeyed(blockDigestKey)
  }

  /** As `blockDigest`. */
  digest(block: Uint8Array): Buffer {
    // The key stays.
    this.#hasher.reset()
    return this.#hasher.update(block).digestBuffer()
  }
}

/** Unkeyed BLAKE3-256 of sealed bytes: what a scrub compares without any key. */
export function sealedHash(bytes: Uint8Array): Buffer {
  return blake3(bytes)
}

const zeros = Buffer.alloc(4 * 1024 * 1024)

export function isAllZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length)
    if (zeros.compare(part, 0, part.length, 0, part.length) !== 0) return false
  }
  return true
}

function groupDigest(treeDigestKey: Buffer, level: number, digests: Uint8Array): Uint8Array {
  if (isAllZero(digests)) return zeroDigest
  return Blake3Hasher.newKeyed(treeDigestKey).update(Uint8Array.of(level)).update(digests).digestBuffer()
}

/** Digest of a page: over the digests of its blocks, one after the other. */
export function pageDigest(treeDigestKey: Buffer, blockDigests: Uint8Array): Uint8Array {
  return groupDigest(treeDigestKey, pageLevel, blockDigests)
}

/** Digest of a node: over the digests of its pages. */
export function nodeDigest(treeDigestKey: Buffer, pageDigests: Uint8Array): Uint8Array {
  return groupDigest(treeDigestKey, nodeLevel, pageDigests)
}

export interface DiskShape {
  readonly sizeBytes: number
  readonly blockBytes: number
}

/** Content root of a disk: over its size, its block size and the digests of its nodes. Never the zero digest. */
export function contentRoot(treeDigestKey: Buffer, shape: DiskShape, nodeDigests: Uint8Array): Buffer {
  const head = new Uint8Array(1 + 8 + 4)
  const view = viewOf(head)
  view.setUint8(0, rootLevel)
  view.setBigUint64(1, BigInt(shape.sizeBytes), true)
  view.setUint32(9, shape.blockBytes, true)
  return Blake3Hasher.newKeyed(treeDigestKey).update(head).update(nodeDigests).digestBuffer()
}

/** The content root of a disk whose block digests come in order, in memory that does not grow with the disk. */
export class ContentRootBuilder {
  readonly #key: Buffer
  readonly #shape: DiskShape
  readonly #page = new DigestGroup()
  readonly #node = new DigestGroup()
  readonly #root: Uint8Array[] = []

  constructor(treeDigestKey: Buffer, shape: DiskShape) {
    this.#key = treeDigestKey
    this.#shape = shape
  }

  /** Takes the next block digests, any number at a time. */
  push(blockDigests: Uint8Array): void {
    invariant(blockDigests.length % digestBytes === 0, 'whole digests')
    let at = 0
    while (at < blockDigests.length) {
      at += this.#page.fill(blockDigests.subarray(at))
      if (this.#page.full) this.#closePage()
    }
  }

  /** Takes the digests of the next `count` blocks of zeros; holes of terabytes cost one step a page. */
  pushZeros(count: number): void {
    let left = count
    while (left > 0) {
      if (this.#page.empty && left >= pageEntriesMax) {
        left -= pageEntriesMax
        this.#pushPage(zeroDigest)
      } else {
        left -= this.#page.fillZeros(left)
        if (this.#page.full) this.#closePage()
      }
    }
  }

  finish(): Buffer {
    if (!this.#page.empty) this.#closePage()
    if (!this.#node.empty) this.#closeNode()
    return contentRoot(this.#key, this.#shape, Buffer.concat(this.#root))
  }

  #closePage(): void {
    this.#pushPage(pageDigest(this.#key, this.#page.take()))
  }

  #pushPage(digest: Uint8Array): void {
    this.#node.fill(digest)
    if (this.#node.full) this.#closeNode()
  }

  #closeNode(): void {
    this.#root.push(nodeDigest(this.#key, this.#node.take()))
  }
}

class DigestGroup {
  readonly #digests = new Uint8Array(pageEntriesMax * digestBytes)
  #used = 0

  get full(): boolean {
    return this.#used === this.#digests.length
  }

  get empty(): boolean {
    return this.#used === 0
  }

  /** Copies as much as fits and says how many bytes that was. */
  fill(digests: Uint8Array): number {
    const part = digests.subarray(0, this.#digests.length - this.#used)
    this.#digests.set(part, this.#used)
    this.#used += part.length
    return part.length
  }

  /** Fills in at most `count` zero digests and says how many. */
  fillZeros(count: number): number {
    const bytes = Math.min(count * digestBytes, this.#digests.length - this.#used)
    this.#digests.fill(0, this.#used, this.#used + bytes)
    this.#used += bytes
    return bytes / digestBytes
  }

  /** A view that is good until the next `fill`. */
  take(): Uint8Array {
    const taken = bufferOf(this.#digests.subarray(0, this.#used))
    this.#used = 0
    return taken
  }
}
