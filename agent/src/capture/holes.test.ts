import assert from 'node:assert/strict'
import fc from 'fast-check'
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { DigestReference } from '../track/digest-reference.ts'
import { openHoleMap, type HoleMap } from './holes.ts'
import { scanSteps } from './scan-steps.ts'
import { openSource } from './source.ts'

const block = 65536
const folder = mkdtempSync(join(tmpdir(), 'strata-holes-'))
after(() => {
  rmSync(folder, { recursive: true })
})

/** The blocks that a map says hold data, asking from the front. */
function dataBlocks(holes: HoleMap): number[] {
  const found: number[] = []
  for (let run = holes.dataFrom(0); run !== null; run = holes.dataFrom(run.end)) {
    for (let at = run.first; at < run.end; at += 1) found.push(at)
  }
  return found
}

function mapOf(path: string): { holes: HoleMap; close: () => void } {
  const source = openSource({ name: 'd', path })
  return {
    holes: openHoleMap(source, block),
    close: () => {
      source.close()
    },
  }
}

suite('the hole map', () => {
  test('a file without holes is all data', () => {
    const path = join(folder, 'dense.img')
    writeFileSync(path, Buffer.alloc(3 * block + 1, 1))
    const { holes, close } = mapOf(path)
    assert.deepEqual(dataBlocks(holes), [0, 1, 2, 3])
    assert.equal(holes.dataFrom(4), null)
    close()
  })

  test('whatever is written: what it leaves out holds no data, asked in any order', () => {
    const path = join(folder, 'sparse.img')
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(59), { maxLength: 12 }),
        fc.integer({ min: 1, max: block }),
        fc.array(fc.nat(60), { maxLength: 20 }),
        (written, tailBytes, asked) => {
          rmSync(path, { force: true })
          const fd = openSync(path, 'w')
          for (const at of written)
            writeSync(fd, Buffer.from('data'), 0, 4, at * block + (at % 2 === 0 ? 0 : block - 4))
          closeSync(fd)
          truncateSync(path, 60 * block + tailBytes)
          const { holes, close } = mapOf(path)
          // File systems may call more than that data, never less.
          const found = new Set(dataBlocks(holes))
          for (const at of written) assert.ok(found.has(at), `block ${String(at)} holds data`)
          assert.ok(found.size <= written.length * 2 + 1, 'holes are found')
          for (const from of asked) {
            const run = holes.dataFrom(from)
            const next = [...found].sort((a, b) => a - b).find((at) => at >= from)
            assert.equal(run === null ? undefined : Math.max(run.first, from), next)
          }
          close()
        },
      ),
      { numRuns: 60 },
    )
  })
})

suite('the steps of a scan', () => {
  const runs = fc.uniqueArray(fc.nat(6000), { maxLength: 12 })

  test('cover every block once, in order, with the right digests; zeros are never more than zeros', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6000 }),
        fc.constantFrom(65536, 262144, 4194304),
        runs,
        runs,
        fc.integer({ min: 0, max: 6000 }),
        async (blocks, blockBytes, dataAt, referenceAt, referenceBlocks) => {
          const data = new Set(dataAt.filter((at) => at < blocks))
          const reference = new Set(referenceAt.filter((at) => at < referenceBlocks))
          let next = 0
          for await (const step of scanSteps(
            { blocks, blockBytes },
            mapWith(data),
            referenceWith(reference, referenceBlocks),
          )) {
            assert.equal(step.firstBlock, next)
            assert.ok(step.blockCount > 0)
            next += step.blockCount
            const inStep = (at: number): boolean => at >= step.firstBlock && at < next
            const stepData = [...data].filter(inStep).sort((a, b) => a - b)
            const stepReference = [...reference].filter((at) => inStep(at) && at < blocks).sort((a, b) => a - b)
            if (step.kind === 'zeros') {
              assert.deepEqual([stepData, stepReference], [[], []])
              continue
            }
            assert.equal(step.kind, 'range')
            assert.ok(step.blockCount * blockBytes <= 64 * 1024 * 1024)
            assert.deepEqual(blocksOf(step.dataRuns, step.firstBlock, next), stepData)
            assert.deepEqual(nonZero(step.reference, step.firstBlock), stepReference)
          }
          assert.equal(next, blocks)
        },
      ),
      { numRuns: 200 },
    )
  })

  test('a terabyte of holes is one step', async () => {
    const steps = []
    const blocks = 2 ** 22
    for await (const step of scanSteps(
      { blocks, blockBytes: 262144 },
      mapWith(new Set()),
      referenceWith(new Set(), blocks),
    ))
      steps.push(step)
    assert.deepEqual(steps, [{ kind: 'zeros', firstBlock: 0, blockCount: blocks }])
  })
})

function mapWith(data: ReadonlySet<number>): HoleMap {
  const sorted = [...data].sort((a, b) => a - b)
  return {
    dataFrom: (block) => {
      const first = sorted.find((at) => at >= block)
      return first === undefined ? null : { first, end: first + 1 }
    },
  }
}

function referenceWith(nonZeros: ReadonlySet<number>, blocks: number): DigestReference {
  const pages = new Set([...nonZeros].map((at) => Math.floor(at / pageEntriesMax)))
  return {
    page: (page) => {
      if (!pages.has(page)) return Promise.resolve(null)
      const count = Math.min(pageEntriesMax, blocks - page * pageEntriesMax)
      const digests = new Uint8Array(count * digestBytes)
      for (let at = 0; at < count; at += 1)
        if (nonZeros.has(page * pageEntriesMax + at)) digests.fill(7, at * digestBytes, (at + 1) * digestBytes)
      return Promise.resolve(digests)
    },
    pageWithData: (page) => Promise.resolve(Math.min(...[...pages].filter((at) => at >= page), Infinity)),
  }
}

function blocksOf(dataRuns: Uint32Array | null, first: number, end: number): number[] {
  const found: number[] = []
  const runs = dataRuns ?? Uint32Array.of(first, end)
  for (let index = 0; index < runs.length; index += 2) {
    for (let at = runs[index] ?? 0; at < (runs[index + 1] ?? 0); at += 1) found.push(at)
  }
  return found
}

function nonZero(reference: Uint8Array | null, first: number): number[] {
  const found: number[] = []
  for (let at = 0; at < (reference?.length ?? 0); at += digestBytes)
    if (reference?.[at] !== 0) found.push(first + at / digestBytes)
  return found
}
