import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { DigestReference } from './digest-reference.ts'
import { withoutWanted } from './wanted-blocks.ts'

const pages = [1, 2, 3].map((fill) => new Uint8Array(pageEntriesMax * digestBytes).fill(fill))
const reference: DigestReference = {
  page: (page) => Promise.resolve(pages[page] ?? null),
  pageWithData: (page) => Promise.resolve(page),
}

/** Blocks whose digest is another one. */
async function changed(wanted: Parameters<typeof withoutWanted>[1]): Promise<number[]> {
  const other = withoutWanted(reference, wanted)
  const found: number[] = []
  for (const [number, page] of pages.entries()) {
    const digests = (await other.page(number)) ?? assert.fail()
    for (let entry = 0; entry < pageEntriesMax; entry += 1) {
      const at = entry * digestBytes
      const [a, b] = [page, digests].map((all) => Buffer.from(all.subarray(at, at + digestBytes)))
      if (a?.equals(b ?? assert.fail()) === false) found.push(number * pageEntriesMax + entry)
    }
  }
  return found
}

test('exactly the wanted blocks are like no block, across the borders of pages', async () => {
  assert.deepEqual(await changed([]), [])
  const ranges = [
    { disk: 0, block: 0, blocks: 1 },
    { disk: 0, block: 1022, blocks: 4 },
    { disk: 0, block: 3071, blocks: 5 },
  ]
  assert.deepEqual(await changed(ranges), [0, 1022, 1023, 1024, 1025, 3071])
  assert.equal(await withoutWanted(reference, ranges).page(3), null)
})

test('what the reference gave is not touched', async () => {
  const other = withoutWanted(reference, [{ disk: 0, block: 5, blocks: 1 }])
  const before = Buffer.from(pages[0] ?? [])
  await other.page(0)
  assert.ok(before.equals(pages[0] ?? assert.fail()))
})
