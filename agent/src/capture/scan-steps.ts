import { equalBytes } from '@strata/shared/format/bytes.ts'
import { digestBytes, isAllZero } from '@strata/shared/format/digest.ts'
import { pageEntriesMax, scanRangeBytes } from '@strata/shared/limits.ts'
import type { DigestReference } from '../track/digest-reference.ts'
import type { HoleMap } from './holes.ts'

/** A piece of the work on a disk. */
export type ScanStep =
  /** Holes where the reference has zeros too: nothing to do, however many they are. */
  | { readonly kind: 'zeros'; readonly firstBlock: number; readonly blockCount: number }
  /** A page that was read before under the same view, and is what the reference has: nothing to do either. */
  | { readonly kind: 'known'; readonly firstBlock: number; readonly blockCount: number; readonly digests: Uint8Array }
  | {
      readonly kind: 'range'
      readonly firstBlock: number
      readonly blockCount: number
      /** One digest a block; null: all zeros. */
      readonly reference: Uint8Array | null
      /** Pairs: first block with data, block after the last one; null: all is data. */
      readonly dataRuns: Uint32Array | null
    }

/** Blocks that one task covers; divides the blocks of a page, so a range lies in one page. */
function blocksPerRange(blockBytes: number): number {
  return Math.min(pageEntriesMax, Math.max(1, Math.floor(scanRangeBytes / blockBytes)))
}

/** The ranges of a disk in order, looked at only when they are asked for. */
export async function* scanSteps(
  disk: { readonly blocks: number; readonly blockBytes: number },
  holes: HoleMap,
  reference: DigestReference,
  known?: KnownPages,
): AsyncGenerator<ScanStep, undefined> {
  const { blocks, blockBytes } = disk
  const rangeBlocks = blocksPerRange(blockBytes)
  for (let block = 0; block < blocks;) {
    const digests = known === undefined ? null : await unchangedPage(known, reference, block)
    if (digests !== null) {
      const blockCount = digests.length / digestBytes
      yield { kind: 'known', firstBlock: block, blockCount, digests }
      block += blockCount
      continue
    }
    const rangeEnd = Math.min(blocks, block - (block % rangeBlocks) + rangeBlocks)
    const dataAt = Math.max(block, holes.dataFrom(block)?.first ?? blocks)
    if (dataAt >= rangeEnd) {
      const page = Math.floor(block / pageEntriesMax)
      const zerosEnd = Math.min(dataAt, blocks, (await reference.pageWithData(page)) * pageEntriesMax)
      if (zerosEnd >= rangeEnd) {
        const end = zerosEnd === blocks ? blocks : zerosEnd - (zerosEnd % rangeBlocks)
        yield { kind: 'zeros', firstBlock: block, blockCount: end - block }
        block = end
        continue
      }
    }
    const compared = await rangeReference(reference, block, rangeEnd)
    const blockCount = rangeEnd - block
    if (compared === null && dataAt >= rangeEnd) yield { kind: 'zeros', firstBlock: block, blockCount }
    else
      yield {
        kind: 'range',
        firstBlock: block,
        blockCount,
        reference: compared,
        dataRuns: dataRuns(holes, block, rangeEnd),
      }
    block = rangeEnd
  }
  return undefined
}

/** Digests of pages that an earlier run has read under the same view. */
export interface KnownPages {
  page(page: number): Uint8Array | null
}

/** The digests of the page that begins with `block`, where what was read before is what the reference has. */
async function unchangedPage(known: KnownPages, reference: DigestReference, block: number): Promise<Uint8Array | null> {
  if (block % pageEntriesMax !== 0) return null
  const page = block / pageEntriesMax
  const digests = known.page(page)
  if (digests === null) return null
  const compared = (await reference.page(page)) ?? new Uint8Array()
  const same = compared.subarray(0, digests.length)
  return equalBytes(digests.subarray(0, same.length), same) && isAllZero(digests.subarray(same.length)) ? digests : null
}

/** Past the end of a smaller reference there are zeros. */
async function rangeReference(reference: DigestReference, first: number, end: number): Promise<Uint8Array | null> {
  const page = Math.floor(first / pageEntriesMax)
  const digests = await reference.page(page)
  if (digests === null) return null
  const inPage = first - page * pageEntriesMax
  const part = digests.subarray(inPage * digestBytes, (inPage + end - first) * digestBytes)
  if (isAllZero(part)) return null
  // A copy: it is sent to a thread, and with a view the whole page would go along.
  const copy = new Uint8Array((end - first) * digestBytes)
  copy.set(part)
  return copy
}

function dataRuns(holes: HoleMap, first: number, end: number): Uint32Array | null {
  const runs: number[] = []
  for (let run = holes.dataFrom(first); run !== null && run.first < end; run = holes.dataFrom(run.end)) {
    runs.push(Math.max(run.first, first), Math.min(run.end, end))
    if (run.end >= end) break
  }
  return runs[0] === first && runs[1] === end ? null : Uint32Array.from(runs)
}
