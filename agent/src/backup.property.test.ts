import assert from 'node:assert/strict'
import fc from 'fast-check'
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { MemoryUplink } from './testing/memory-uplink.ts'
import { Workbench } from './testing/workbench.ts'

const block = 65536

/** A disk as a list of blocks: what each is filled with (0: zeros), and how long the last one is. */
const disk = fc.record({
  fills: fc.array(fc.nat(4), { minLength: 1, maxLength: 40 }),
  tailBytes: fc.integer({ min: 1, max: block }),
})

function imageOf(content: { fills: readonly number[]; tailBytes: number }): Buffer {
  const blocks = content.fills.map((fill, index) => {
    const bytes = index === content.fills.length - 1 ? content.tailBytes : block
    return fill === 0 ? Buffer.alloc(bytes) : Buffer.alloc(bytes, `${String(fill)}-${String(index % 3)}`)
  })
  return Buffer.concat(blocks)
}

/** Writes zeros as holes or as data. */
function writeDisk(path: string, image: Buffer, sparse: boolean): void {
  if (!sparse) {
    writeFileSync(path, image)
    return
  }
  writeFileSync(path, '')
  for (let at = 0; at < image.length; at += block) {
    const part = image.subarray(at, at + block)
    if (!part.equals(Buffer.alloc(part.length)) || at + block >= image.length) writeAt(path, part, at)
  }
}

function writeAt(path: string, bytes: Buffer, at: number): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, at)
  closeSync(fd)
}

test('whatever disks, changes and segment sizes: the point is the image', async () => {
  const bench = new Workbench()
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(disk, { minLength: 2, maxLength: 4 }),
        fc.record({
          segmentBlocks: fc.integer({ min: 1, max: 7 }),
          scanThreads: fc.integer({ min: 1, max: 3 }),
          sparse: fc.boolean(),
          loses: fc.integer({ min: 2, max: 9 }),
          kinds: fc.array(fc.constantFrom('auto', 'full', 'differential'), { minLength: 4, maxLength: 4 }),
        }),
        async (disks, { segmentBlocks, scanThreads, sparse, loses, kinds }) => {
          const uplink = new MemoryUplink({
            spoolDirectory: bench.spool,
            segmentBytesMax: segmentBlocks * block,
            onSend: (count) => {
              if (count % loses === 0) throw new StrataError('E_HANDOVER_LOST', 'it vanished')
            },
          })
          // A disk never shrinks within its chain.
          disks.sort((a, b) => imageOf(a).length - imageOf(b).length)
          for (const [index, content] of disks.entries()) {
            const image = imageOf(content)
            writeDisk(bench.path('d.img'), image, sparse)
            const kind = index === 0 ? 'full' : (kinds[index] ?? 'auto')
            const outcome = await bench.backup('d.img', { uplink, scanThreads, kind: kind as 'full' })
            assert.ok(uplink.points.at(-1)?.images[0]?.equals(readFileSync(bench.path('d.img'))))
            assert.equal(outcome.sizeBytes, image.length)
            const next = await bench.backup('d.img', { uplink, scanThreads })
            assert.equal(next.segments, 0, 'nothing changed')
            assert.deepEqual(bench.leftOvers(), [])
          }
        },
      ),
      { numRuns: 12, verbose: true },
    )
  } finally {
    bench.remove()
  }
})
