import assert from 'node:assert/strict'
import { readdir, readFile, stat, symlink, writeFile, chmod } from 'node:fs/promises'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { blockBytesMax, blockBytesMin, readBytesInFlightMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { diskOf, makePoint, makeRepository, seededRandom } from '../fixtures/make-point.ts'
import { restoreTo } from '../fixtures/restore.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'

const KiB = 1024
const MiB = 1024 * KiB
const random = seededRandom('restore-file')

/** Random, repetitive and zero parts, as a disk has them. */
function diskBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  bytes.set(random(Math.floor(sizeBytes / 4)), 0)
  bytes.fill('of the same words again and again ', Math.floor(sizeBytes / 2), Math.floor((sizeBytes * 3) / 4))
  return bytes
}

for (const { blockBytes, sizeBytes } of [
  { blockBytes: blockBytesMin, sizeBytes: 10 * MiB },
  { blockBytes: blockBytesMin, sizeBytes: 3 * MiB + 1 },
  { blockBytes: 256 * KiB, sizeBytes: 512 },
  { blockBytes: 256 * KiB, sizeBytes: 20 * MiB - 1 },
  { blockBytes: blockBytesMax, sizeBytes: 25 * MiB + 4096 },
]) {
  test(`a disk of ${String(sizeBytes)} bytes in blocks of ${String(blockBytes)} comes back to the byte`, async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(sizeBytes)
    const point = await makePoint(repository, { disks: [diskOf('disk', source, blockBytes)], packBlockBytes: MiB })
    const result = await restoreTo(repository, point, directory.file('disk.img'))
    assert.ok(source.equals(await readFile(directory.file('disk.img'))))
    assert.equal(result.sizeBytes, sizeBytes)
    assert.equal(result.writtenBytes + result.zeroBytes, sizeBytes)
    assert.equal(result.damage.blocks, 0)
    assert.deepEqual(await readdir(directory.path), ['disk.img'])
  })
}

test('zero blocks stay holes', async () => {
  await using directory = await temporaryDirectory()
  const repository = await makeRepository()
  const source = Buffer.alloc(300 * MiB)
  source.set(random(100 * KiB), 256 * MiB)
  const point = await makePoint(repository, { disks: [diskOf('disk', source, blockBytesMin)] })
  const result = await restoreTo(repository, point, directory.file('disk.img'))
  const { size, blocks } = await stat(directory.file('disk.img'))
  assert.equal(size, 300 * MiB)
  assert.ok(blocks * 512 <= 2 * blockBytesMin + 16 * KiB, `${String(blocks * 512)} bytes are allocated`)
  assert.equal(result.writtenBytes, 2 * blockBytesMin)
  assert.ok(source.equals(await readFile(directory.file('disk.img'))))
})

test('every point of a chain comes back, also when the disk grew, from few requests', async () => {
  await using directory = await temporaryDirectory()
  let gets = 0
  const store = await openDirectoryStore(directory.file('store'), {
    clock: systemClock,
    randomBytes: systemRandomBytes,
    create: true,
    onRequest: ({ kind }) => {
      if (kind === 'get') gets += 1
    },
  })
  const repository = await makeRepository({ store })
  let source = diskBytes(8 * MiB)
  const sources: Buffer[] = []
  const points: Point[] = []
  for (let round = 0; round < 12; round += 1) {
    if (round === 6) source = Buffer.concat([source, diskBytes(3 * MiB + 77)])
    else if (round > 0) source.set(random(200 * KiB), (round * 611 * KiB) % (source.length - 200 * KiB))
    const base = points.at(-1)
    points.push(
      await makePoint(repository, {
        disks: [diskOf('disk', source, blockBytesMin)],
        ...(base === undefined ? {} : { base }),
      }),
    )
    sources.push(Buffer.from(source))
  }
  for (const [index, point] of points.entries()) {
    gets = 0
    await restoreTo(repository, point, directory.file(`${String(index)}.img`))
    assert.ok(sources[index]?.equals(await readFile(directory.file(`${String(index)}.img`))))
    assert.ok(gets <= 20, `${String(gets)} requests for point ${String(index)}`)
  }
})

test('ranges are read side by side, and never more of them than are allowed', async () => {
  await using directory = await temporaryDirectory()
  const made = await makeRepository()
  const source = random(64 * MiB)
  const point = await makePoint(made, { disks: [diskOf('disk', source, 256 * KiB)], packBlockBytes: MiB })
  let [underWay, peak, bytesUnderWay, bytesPeak] = [0, 0, 0, 0]
  const slow = storeWith(made.store, {
    get: async (name, part) => {
      if (!name.includes('/data-') || part === undefined || !('length' in part)) return made.store.get(name, part)
      underWay += 1
      bytesUnderWay += part.length
      peak = Math.max(peak, underWay)
      bytesPeak = Math.max(bytesPeak, bytesUnderWay)
      await sleep(20)
      const bytes = await made.store.get(name, part)
      underWay -= 1
      bytesUnderWay -= part.length
      return bytes
    },
  })
  const repository = new Repository(slow, made.repository.ingestKeys, random)
  await restoreTo({ ...made, repository }, point, directory.file('disk.img'))
  assert.ok(Buffer.from(source).equals(await readFile(directory.file('disk.img'))))
  assert.equal(peak, storeRequestsInFlightMax)
  assert.ok(bytesPeak <= readBytesInFlightMax, `${String(bytesPeak)} bytes at a time`)
})

test('one of several disks is chosen by its name', async () => {
  await using directory = await temporaryDirectory()
  const repository = await makeRepository()
  const [system, data] = [diskBytes(MiB), diskBytes(2 * MiB)]
  const point = await makePoint(repository, {
    disks: [diskOf('system', system, blockBytesMin), diskOf('data', data, blockBytesMin)],
  })
  const path = directory.file('disk.img')
  await assert.rejects(restoreTo(repository, point, path), { code: 'E_DISK_AMBIGUOUS' })
  await assert.rejects(restoreTo(repository, point, path, { diskName: 'other' }), { code: 'E_DISK_UNKNOWN' })
  const result = await restoreTo(repository, point, path, { diskName: 'data' })
  assert.equal(result.disk, 'data')
  assert.ok(data.equals(await readFile(path)))
})

test('a target that is not to be overwritten is refused and stays as it is', async () => {
  await using directory = await temporaryDirectory()
  const storePath = directory.file('store')
  const store = await openDirectoryStore(storePath, {
    clock: systemClock,
    randomBytes: systemRandomBytes,
    create: true,
  })
  const repository = await makeRepository({ store })
  const source = diskBytes(MiB)
  const point = await makePoint(repository, { disks: [diskOf('disk', source, blockBytesMin)] })
  const existing = directory.file('existing.img')
  await writeFile(existing, 'precious')
  await symlink('nowhere', directory.file('dangling'))

  await assert.rejects(restoreTo(repository, point, existing), { code: 'E_TARGET_EXISTS' })
  assert.equal(await readFile(existing, 'utf8'), 'precious')
  const refused: [string, string][] = [
    [directory.path, 'E_TARGET_UNWRITABLE'],
    [directory.file('no/such/directory.img'), 'E_TARGET_UNWRITABLE'],
    [directory.file('existing.img/below'), 'E_TARGET_UNWRITABLE'],
    [directory.file('dangling'), 'E_TARGET_UNWRITABLE'],
    ['/dev/null', 'E_TARGET_UNWRITABLE'],
    [`${storePath}/disk.img`, 'E_TARGET_IS_SOURCE'],
    [`${storePath}/tenants/../disk.img`, 'E_TARGET_IS_SOURCE'],
    [storePath, 'E_TARGET_IS_SOURCE'],
  ]
  for (const [path, code] of refused)
    await assert.rejects(restoreTo(repository, point, path, { force: true }), { code })
  assert.deepEqual((await readdir(directory.path)).sort(), ['dangling', 'existing.img', 'store'])
})

test('force replaces a file, keeps its mode, and follows a link to it', async () => {
  await using directory = await temporaryDirectory()
  const repository = await makeRepository()
  const source = diskBytes(MiB)
  const point = await makePoint(repository, { disks: [diskOf('disk', source, blockBytesMin)] })
  const path = directory.file('disk.img')
  await writeFile(path, random(2 * MiB))
  await chmod(path, 0o640)
  await symlink('disk.img', directory.file('link'))
  const result = await restoreTo(repository, point, directory.file('link'), { force: true })
  assert.deepEqual(
    result.warnings.map(({ code }) => code),
    ['W_TARGET_LINK'],
  )
  assert.ok(source.equals(await readFile(path)))
  assert.equal((await stat(path)).mode & 0o777, 0o640)
  assert.deepEqual((await readdir(directory.path)).sort(), ['disk.img', 'link'])
})

test('an interrupted restore leaves nothing that looks whole, and the next one replaces what it left', async () => {
  await using directory = await temporaryDirectory()
  const repository = await makeRepository()
  const source = diskBytes(4 * MiB)
  const point = await makePoint(repository, {
    disks: [diskOf('disk', source, blockBytesMin)],
    packBlockBytes: blockBytesMin,
  })
  const path = directory.file('disk.img')
  const interruptedAt = (report: number): Promise<unknown> => {
    const abort = new AbortController()
    let reports = 0
    return restoreTo(repository, point, path, {
      signal: abort.signal,
      onProgress: () => {
        reports += 1
        if (reports === report) abort.abort()
      },
    })
  }
  // The first report comes before anything is read, the second when the first records are written.
  await assert.rejects(interruptedAt(1), { code: 'E_INTERRUPTED', message: /^[^/]*$/ })
  assert.deepEqual(await readdir(directory.path), [])
  await assert.rejects(interruptedAt(2), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'E_INTERRUPTED')
    assert.ok(error.message.endsWith(`What was written is in ${path}.strata-incomplete.`), error.message)
    return true
  })
  assert.deepEqual(await readdir(directory.path), ['disk.img.strata-incomplete'])
  await restoreTo(repository, point, path)
  assert.deepEqual(await readdir(directory.path), ['disk.img'])
  assert.ok(source.equals(await readFile(path)))
})

test('of two restores to one path at once, at most one gives the file its name', async () => {
  await using directory = await temporaryDirectory()
  const repository = await makeRepository()
  const source = diskBytes(4 * MiB)
  const point = await makePoint(repository, { disks: [diskOf('disk', source, blockBytesMin)] })
  const path = directory.file('disk.img')
  const outcomes = await Promise.allSettled([restoreTo(repository, point, path), restoreTo(repository, point, path)])
  assert.ok(source.equals(await readFile(path)))
  const failed = outcomes.filter((outcome) => outcome.status === 'rejected')
  assert.equal(failed.length, 1)
  for (const { reason } of failed) assert.match(String(reason), /another restore|exists already|EEXIST/)
})

test("another tenant's private key is said to be foreign", async () => {
  await using directory = await temporaryDirectory()
  const repository = await makeRepository()
  const other = await makeRepository({ seed: 'other' })
  const point = await makePoint(repository, { disks: [diskOf('disk', diskBytes(MiB), blockBytesMin)] })
  const path = directory.file('disk.img')
  await assert.rejects(restoreTo(repository, point, path, { privateKey: other.privateKey }), { code: 'E_KEY_FOREIGN' })
  assert.deepEqual(await readdir(directory.path), [])
})

/** A disk as a list of blocks: each holds bytes of its own, the same text, or zeros. */
const blockKind = fc.constantFrom('random', 'text', 'zero')
const shape = fc.record({
  blockBytes: fc.constantFrom(64 * KiB, 128 * KiB, 256 * KiB),
  blocks: fc.array(blockKind, { minLength: 1, maxLength: 40 }),
  lastBytes: fc.integer({ min: 1, max: 64 * KiB }),
  rounds: fc.array(fc.array(fc.tuple(fc.nat(), blockKind), { maxLength: 10 }), { maxLength: 3 }),
  packBlockBytes: fc.constantFrom(64 * KiB, 512 * KiB, 8 * MiB),
  differential: fc.boolean(),
})

test('property: whatever the disk and its changes, each point restores to what it was made from', async () => {
  await fc.assert(
    fc.asyncProperty(shape, async ({ blockBytes, blocks, lastBytes, rounds, packBlockBytes, differential }) => {
      await using directory = await temporaryDirectory()
      const repository = await makeRepository()
      const source = Buffer.alloc((blocks.length - 1) * blockBytes + lastBytes)
      const fill = (block: number, kind: string): void => {
        const part = source.subarray(block * blockBytes, (block + 1) * blockBytes)
        if (kind === 'random') part.set(random(part.length))
        else part.fill(kind === 'text' ? 'text ' : 0)
      }
      blocks.forEach((kind, block) => {
        fill(block, kind)
      })
      const made: { point: Point; bytes: Buffer }[] = []
      for (const changes of [[], ...rounds]) {
        for (const [position, kind] of changes) fill(position % blocks.length, kind)
        const base = (differential ? made[0] : made.at(-1))?.point
        const kind = base === undefined ? 'full' : differential ? 'differential' : 'incremental'
        const disks = [diskOf('disk', source, blockBytes)]
        const point = await makePoint(repository, {
          disks,
          kind,
          packBlockBytes,
          ...(base === undefined ? {} : { base }),
        })
        made.push({ point, bytes: Buffer.from(source) })
      }
      for (const [index, { point, bytes }] of made.entries()) {
        const path = directory.file(String(index))
        await restoreTo(repository, point, path)
        assert.ok(bytes.equals(await readFile(path)), `point ${String(index)}`)
      }
    }),
    { numRuns: 15 },
  )
})
