import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { DiskDescription, DiskIdentity, Manifest } from '@strata/shared/format/manifest.ts'
import { diskCounts, isBlockBytes } from '@strata/shared/format/root.ts'
import { blockBytesDefault, blockBytesMax, blockBytesMin, blocksPerDiskMax } from '@strata/shared/limits.ts'
import type { OfferedDisk } from '@strata/shared/protocol/uplink.ts'
import { describeNewDisks, judgeDisks, type ChainVerdict } from './disk-rules.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const gpt = { gpt: '11111111-2222-3333-4444-555555555555' }

const before: DiskDescription = { name: 'disk', sizeBytes: GiB, blockBytes: blockBytesDefault, identity: gpt }
const offered: OfferedDisk = { name: 'disk', sizeBytes: GiB, identity: gpt }

function manifestWith(...disks: readonly DiskDescription[]): Manifest {
  return {
    strata: 'manifest',
    version: 1,
    point: '1'.repeat(32),
    setName: 'machine',
    chain: '2'.repeat(32),
    sequence: 1,
    kind: 'full',
    base: null,
    full: null,
    previous: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    capturedAt: '2026-01-01T00:00:00.000Z',
    consistency: 'unchanged',
    machine: { hostName: '', system: '', architecture: '' },
    disks: disks.map((disk) => ({ ...disk, contentRoot: '0'.repeat(64) })),
    root: { session: '1'.repeat(32), number: 0, attempt: '0'.repeat(16), offset: 0, length: 1 },
    statistics: { scannedBytes: 0, changedBytes: 0, storedBytes: 0, segments: 0 },
    warnings: [],
  }
}

function judge(now: OfferedDisk, was: DiskDescription = before): ChainVerdict {
  return judgeDisks(manifestWith(was), [now])
}

test('the same disk goes on, with the block size of its chain', () => {
  const verdict = judge(offered)
  assert.ok(verdict.continues)
  assert.deepEqual(verdict.disks, [before])
  assert.deepEqual(verdict.warnings, [])
  assert.equal(judge({ ...offered, blockBytes: blockBytesDefault }).continues, true)
})

test('a disk that grew goes on with a warning that names both sizes', () => {
  const verdict = judge({ ...offered, sizeBytes: GiB + 5 })
  assert.ok(verdict.continues)
  assert.equal(verdict.disks[0]?.sizeBytes, GiB + 5)
  assert.deepEqual(
    verdict.warnings.map(({ code }) => code),
    ['W_DISK_GREW'],
  )
  assert.match(verdict.warnings[0]?.message ?? '', new RegExp(`${String(GiB)} .* ${String(GiB + 5)}`))
})

test('a disk that shrank is for a person to decide', () => {
  assert.throws(() => judge({ ...offered, sizeBytes: GiB - 1 }), { code: 'E_DISK_SHRANK', message: /1073741823/ })
})

test('another block size begins a new chain', () => {
  const verdict = judge({ ...offered, blockBytes: MiB })
  assert.ok(!verdict.continues)
  assert.equal(verdict.warning.code, 'W_NEW_BLOCK_SIZE')
})

test('a disk that grew past what its blocks can count begins a new chain', () => {
  const small = { ...before, blockBytes: blockBytesMin }
  const most = blocksPerDiskMax * blockBytesMin
  assert.equal(judge({ ...offered, sizeBytes: most }, small).continues, true)
  const verdict = judge({ ...offered, sizeBytes: most + 1 }, small)
  assert.ok(!verdict.continues)
  assert.equal(verdict.warning.code, 'W_NEW_BLOCK_SIZE')
})

test('other disks than those of the chain are refused: more, fewer, another name, another order', () => {
  const changed = { code: 'E_DISK_SET_CHANGED' }
  const two = manifestWith(before, { ...before, name: 'other' })
  const other = { ...offered, name: 'other' }
  assert.equal(judgeDisks(two, [offered, other]).continues, true)
  assert.throws(() => judgeDisks(two, [other, offered]), changed)
  assert.throws(() => judgeDisks(two, [offered]), changed)
  assert.throws(() => judgeDisks(manifestWith(before), [offered, other]), changed)
  assert.throws(() => judge(other), changed)
  assert.throws(() => judgeDisks(two, []), changed)
})

test('a disk is another one when the strongest mark of its base is not on it any more', () => {
  const all: DiskIdentity = { gpt: 'g', mbr: 'm', filesystem: 'f' }
  const from = (identity: DiskIdentity, now: DiskIdentity): ChainVerdict =>
    judge({ ...offered, identity: now }, { ...before, identity })
  const another = { code: 'E_DISK_IDENTITY' }
  assert.ok(from(all, all).continues)
  assert.ok(from(all, { gpt: 'g' }).continues)
  assert.ok(from({ mbr: 'm', filesystem: 'f' }, { gpt: 'new', mbr: 'm' }).continues)
  assert.ok(from({ filesystem: 'f' }, all).continues)
  assert.ok(from({}, all).continues, 'a blank disk says nothing')
  assert.ok(from({}, {}).continues)
  assert.throws(() => from(all, { ...all, gpt: 'h' }), another)
  assert.throws(() => from(all, { mbr: 'm', filesystem: 'f' }), another)
  assert.throws(() => from({ mbr: 'm' }, { mbr: 'n' }), another)
  assert.throws(() => from({ filesystem: 'f' }, {}), { ...another, message: /without one/ })
})

test('new disks get the default block size, or the one that was asked for', () => {
  assert.deepEqual(describeNewDisks([offered]), [before])
  assert.equal(describeNewDisks([{ ...offered, blockBytes: 4 * MiB }])[0]?.blockBytes, 4 * MiB)
})

test('a very large disk gets the smallest block size that can count it', () => {
  const sizeOf = (sizeBytes: number): number | undefined => describeNewDisks([{ ...offered, sizeBytes }])[0]?.blockBytes
  const most = blocksPerDiskMax * blockBytesDefault
  assert.equal(sizeOf(most), blockBytesDefault)
  assert.equal(sizeOf(most + 1), 2 * blockBytesDefault)
  assert.equal(sizeOf(4 * most), 4 * blockBytesDefault)
  assert.equal(sizeOf(blocksPerDiskMax * blockBytesMax), blockBytesMax)
})

test('what no block size can count, and sizes that are none, are refused', () => {
  const tooLarge = { code: 'E_SOURCE_TOO_LARGE' }
  assert.throws(() => describeNewDisks([{ ...offered, sizeBytes: blocksPerDiskMax * blockBytesMax + 1 }]), tooLarge)
  assert.throws(
    () => describeNewDisks([{ ...offered, sizeBytes: 5 * 1024 * GiB, blockBytes: blockBytesMin }]),
    tooLarge,
  )
  for (const blockBytes of [0, 1, 100_000, 32 * 1024, 8 * MiB]) {
    assert.throws(() => describeNewDisks([{ ...offered, blockBytes }]), { code: 'E_USAGE' }, String(blockBytes))
  }
})

test('property: whatever is offered, a verdict keeps names and sizes and one block size, or has a code', () => {
  const identity = fc.constantFrom<DiskIdentity>({}, { gpt: 'a' }, { gpt: 'b' }, { mbr: 'a' }, { filesystem: 'x' })
  const blockBytes = fc.constantFrom(blockBytesMin, blockBytesDefault, blockBytesMax)
  const disk = fc.record({
    name: fc.constantFrom('a', 'b'),
    sizeBytes: fc.integer({ min: 1, max: 2 ** 44 }),
    identity,
    blockBytes,
  })
  fc.assert(
    fc.property(
      fc.array(disk, { minLength: 1, maxLength: 3 }),
      fc.array(disk, { minLength: 1, maxLength: 3 }),
      (was, now) => {
        let verdict: ChainVerdict
        try {
          verdict = judgeDisks(manifestWith(...was), now)
        } catch (error) {
          assert.match((error as { code: string }).code, /^E_DISK_(SET_CHANGED|SHRANK|IDENTITY)$/)
          return
        }
        if (!verdict.continues) return
        for (const [index, { name, sizeBytes, blockBytes: size }] of verdict.disks.entries()) {
          assert.deepEqual([name, sizeBytes], [now[index]?.name, now[index]?.sizeBytes])
          assert.equal(size, was[index]?.blockBytes)
          assert.ok(isBlockBytes(size) && diskCounts(sizeBytes, size).blocks <= blocksPerDiskMax)
          assert.ok(sizeBytes >= (was[index]?.sizeBytes ?? Infinity))
        }
      },
    ),
  )
})

test('disks of a new chain have names that can be part of file names, each its own', () => {
  const named = (...names: readonly string[]): void => {
    describeNewDisks(names.map((name) => ({ ...offered, name })))
  }
  named('disk', 'disk2', 'sda.1-a_b')
  for (const name of [
    '',
    '../x',
    '/dev/sda',
    '.',
    '..',
    'a/b',
    'a:b',
    'a b',
    'a\u0000',
    'd\u00efsk',
    '-f',
    'x'.repeat(65),
  ]) {
    assert.throws(
      () => {
        named(name)
      },
      { code: 'E_DISK_NAME' },
      JSON.stringify(name),
    )
  }
  assert.throws(
    () => {
      named('disk', 'disk')
    },
    { code: 'E_DISK_NAME' },
  )
  assert.throws(
    () => {
      named('disk', 'DISK')
    },
    { code: 'E_DISK_NAME' },
  )
  assert.throws(
    () => {
      named(...Array.from({ length: 65 }, (_, index) => `disk${String(index)}`))
    },
    { code: 'E_LIMIT' },
  )
})
