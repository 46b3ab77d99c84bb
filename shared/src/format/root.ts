import { invariant, StrataError } from '../errors.ts'
import {
  blockBytesMax,
  blockBytesMin,
  blocksPerDiskMax,
  disksPerSetMax,
  keysPerRootMax,
  nodesPerDiskMax,
  pageEntriesMax,
  rootBytesMax,
} from '../limits.ts'
import {
  concatBytes,
  damaged,
  equalBytes,
  readSafeU64,
  requireCount,
  requireExactLength,
  requireLength,
  requireZero,
  viewOf,
} from './bytes.ts'
import { digestBytes } from './digest.ts'
import { decodePage, encodePage, pageLevels, type Page } from './page.ts'
import { decodeWrappedDataKey, encodeWrappedDataKey, wrappedDataKeyBytes, type WrappedDataKey } from './wrapped-key.ts'

/**
 * The root of a point's maps, plain (it is sealed in a box): its disks with their nodes, and every data key that a
 * record of the point may be sealed with, itself sealed to the tenant. docs/format.md, "Root".
 */
const diskCountAt = 0
const reservedAt = 2
const keyCountAt = 4
const headerBytes = 8

const diskSizeAt = 0
const diskBlockBytesAt = 8
const diskNodesBytesAt = 12
const diskContentRootAt = 16
const diskHeaderBytes = diskContentRootAt + digestBytes

export interface RootDisk {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly contentRoot: Uint8Array
  /** Level 2: one entry a node. */
  readonly nodes: Page
}

export interface Root {
  readonly disks: readonly RootDisk[]
  readonly keys: readonly WrappedDataKey[]
}

export interface DiskCounts {
  readonly blocks: number
  readonly pages: number
  readonly nodes: number
}

/** How many blocks, pages and nodes a disk has. */
export function diskCounts(sizeBytes: number, blockBytes: number): DiskCounts {
  const blocks = Math.ceil(sizeBytes / blockBytes)
  const pages = Math.ceil(blocks / pageEntriesMax)
  return { blocks, pages, nodes: Math.ceil(pages / pageEntriesMax) }
}

/** Entries of part `number` of a level with `total` of them in all. */
export function entriesIn(number: number, total: number): number {
  return Math.min(pageEntriesMax, total - number * pageEntriesMax)
}

export function isBlockBytes(value: number): boolean {
  return Number.isInteger(value) && value >= blockBytesMin && value <= blockBytesMax && (value & (value - 1)) === 0
}

export function encodeRoot(root: Root): Uint8Array<ArrayBuffer> {
  const encoded = writeRoot(root)
  if (encoded.length > rootBytesMax || root.keys.length > keysPerRootMax) {
    throw new StrataError(
      'E_LIMIT',
      `the root of this point would have ${String(root.keys.length)} data keys; at most ${String(keysPerRootMax)} fit`,
      {
        hint: 'Start a new chain with --full.',
      },
    )
  }
  invariant(equalBytes(writeRoot(decodeRoot(encoded)), encoded), 'a root reads back as written')
  return encoded
}

function writeRoot(root: Root): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(headerBytes)
  const view = viewOf(head)
  view.setUint16(diskCountAt, root.disks.length, true)
  view.setUint32(keyCountAt, root.keys.length, true)
  const parts: Uint8Array[] = [head]
  for (const disk of root.disks) {
    const nodes = encodePage(disk.nodes)
    const diskHead = new Uint8Array(diskHeaderBytes)
    const diskView = viewOf(diskHead)
    diskView.setBigUint64(diskSizeAt, BigInt(disk.sizeBytes), true)
    diskView.setUint32(diskBlockBytesAt, disk.blockBytes, true)
    diskView.setUint32(diskNodesBytesAt, nodes.length, true)
    diskHead.set(disk.contentRoot, diskContentRootAt)
    parts.push(diskHead, nodes)
  }
  for (const key of root.keys) parts.push(encodeWrappedDataKey(key))
  return concatBytes(parts)
}

export function decodeRoot(bytes: Uint8Array): Root {
  const what = 'root'
  requireLength(what, bytes, headerBytes)
  const view = viewOf(bytes)
  const diskCount = view.getUint16(diskCountAt, true)
  const keyCount = view.getUint32(keyCountAt, true)
  requireZero(what, view.getUint16(reservedAt, true))
  requireCount(`${what}, disks`, diskCount, disksPerSetMax)
  requireCount(`${what}, data keys`, keyCount, keysPerRootMax)
  const disks: RootDisk[] = []
  let at = headerBytes
  for (let index = 0; index < diskCount; index += 1) {
    requireLength(what, bytes, at + diskHeaderBytes)
    const nodesAt = at + diskHeaderBytes
    const nodesBytes = view.getUint32(at + diskNodesBytesAt, true)
    requireLength(what, bytes, nodesAt + nodesBytes)
    const nodes = decodePage(bytes.subarray(nodesAt, nodesAt + nodesBytes), pageLevels.root, index)
    const sizeBytes = readSafeU64(what, view, at + diskSizeAt)
    const blockBytes = view.getUint32(at + diskBlockBytesAt, true)
    requireShape(sizeBytes, blockBytes, nodes.entryCount)
    disks.push({
      sizeBytes,
      blockBytes,
      contentRoot: bytes.slice(at + diskContentRootAt, nodesAt),
      nodes,
    })
    at = nodesAt + nodesBytes
  }
  requireExactLength(what, bytes, at + keyCount * wrappedDataKeyBytes)
  const keys = Array.from({ length: keyCount }, (_, index) => {
    const keyAt = at + index * wrappedDataKeyBytes
    return decodeWrappedDataKey(bytes.subarray(keyAt, keyAt + wrappedDataKeyBytes))
  })
  return { disks, keys }
}

function requireShape(sizeBytes: number, blockBytes: number, nodeCount: number): void {
  const what = 'root'
  if (!isBlockBytes(blockBytes)) throw damaged(what, `a block size of ${String(blockBytes)} bytes`)
  const counts = diskCounts(sizeBytes, blockBytes)
  requireCount(`${what}, blocks of a disk`, counts.blocks, blocksPerDiskMax)
  requireCount(`${what}, nodes of a disk`, nodeCount, nodesPerDiskMax)
  if (sizeBytes === 0 || counts.nodes !== nodeCount) throw damaged(what, 'size and nodes of a disk disagree')
}
