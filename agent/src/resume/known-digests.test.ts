import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { KnownDigests } from './known-digests.ts'

const blockBytes = 65_536
const lastBlocks = 10
const disk = { sizeBytes: (2 * pageEntriesMax + lastBlocks) * blockBytes, blockBytes }
const pageBytes = pageEntriesMax * digestBytes

function pathFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-known-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return join(directory, 'disk.known')
}

function digests(blocks: number, byte: number): Uint8Array {
  return new Uint8Array(blocks * digestBytes).fill(byte)
}

/** A run that reads so many blocks of ones, then zeros to the end of the second page, then twos. */
function fill(path: string, ones: number): void {
  const known = new KnownDigests(path, disk, false)
  known.push(digests(ones, 1))
  known.pushZeros(2 * pageEntriesMax - ones)
  known.push(digests(lastBlocks, 2))
  known.close()
}

function pages(path: string, isSameView = true): (Uint8Array | null)[] {
  const known = new KnownDigests(path, disk, isSameView)
  const found = [0, 1, 2, 3].map((page) => known.page(page))
  known.close()
  return found
}

test('what was read is known in the same view, also zeros and the short page at the end', (t) => {
  const path = pathFor(t)
  fill(path, pageEntriesMax)
  assert.deepEqual(pages(path), [digests(pageEntriesMax, 1), digests(pageEntriesMax, 0), digests(lastBlocks, 2), null])
})

test('in another view nothing is known', (t) => {
  const path = pathFor(t)
  fill(path, 5)
  assert.deepEqual(pages(path, false), [null, null, null, null])
  assert.equal(statSync(path).size, 0)
})

test('a page that was not read to its end is not known', (t) => {
  const path = pathFor(t)
  const known = new KnownDigests(path, disk, false)
  known.push(digests(pageEntriesMax + 5, 1))
  known.close()
  assert.deepEqual(pages(path), [digests(pageEntriesMax, 1), null, null, null])
})

test('what a power cut has spoiled is not known: zeros, a cut end, a flipped bit, a page in another place', (t) => {
  const path = pathFor(t)
  const spoil = (change: (fd: number) => void): (Uint8Array | null)[] => {
    fill(path, pageEntriesMax)
    const fd = openSync(path, 'r+')
    change(fd)
    closeSync(fd)
    return pages(path).slice(0, 2)
  }
  const good = [digests(pageEntriesMax, 1), digests(pageEntriesMax, 0)]
  assert.deepEqual(
    spoil((fd) => writeSync(fd, new Uint8Array(pageBytes + 16), 0, pageBytes + 16, pageBytes + 16)),
    [good[0], null],
  )
  assert.deepEqual(
    spoil((fd) => writeSync(fd, Uint8Array.of(0xfe), 0, 1, 77)),
    [null, good[1]],
  )
  assert.deepEqual(
    spoil(() => {
      truncateSync(path, 2 * (pageBytes + 16) - 1)
    }),
    [good[0], null],
  )
})

test('a run that goes on writes the same pages again, and those that were missing', (t) => {
  const path = pathFor(t)
  const first = new KnownDigests(path, disk, false)
  first.push(digests(pageEntriesMax, 1))
  first.close()
  const second = new KnownDigests(path, disk, true)
  second.push(second.page(0) ?? assert.fail('page 0 is known'))
  second.push(digests(pageEntriesMax, 3))
  second.close()
  assert.deepEqual(pages(path).slice(0, 2), [digests(pageEntriesMax, 1), digests(pageEntriesMax, 3)])
})
