import assert from 'node:assert/strict'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '@strata/shared/clock.ts'
import { overlayUnitBytes } from '@strata/shared/limits.ts'
import type { DiskImage, ImageRead, WritableImage } from '@strata/workers/deliver/image/disk-image.ts'
import { openImage } from '@strata/workers/deliver/image/open-image.ts'
import { OverlayFiles, removeDeadOverlays } from '@strata/workers/deliver/image/overlay/overlay-files.ts'
import { OverlayImage } from '@strata/workers/deliver/image/overlay/overlay-image.ts'
import { UnitSet } from '@strata/workers/deliver/image/overlay/unit-set.ts'
import { NbdServer } from '@strata/workers/deliver/nbd/nbd-server.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { makeMachine } from '../chains/machine.ts'
import { seededRandom } from '../fixtures/make-point.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { RawClient } from './raw-client.ts'

/** What is written to a mounted disk, beside a point that stays as it is. */
const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())
const machine = await makeMachine()
const content = machine.disks[1] ?? assert.fail()
const { repository, privateKey } = machine.owner
const point = await machine.newest()

async function base(): Promise<DiskImage> {
  const onDamage = ({ message }: { message: string }): void => assert.fail(message)
  return (await openImage({ repository, privateKey, point, diskName: 'data', pool, onDamage })).image
}

const description = {
  strata: 'overlay',
  version: 1,
  point: 'p',
  disk: 'data',
  sizeBytes: content.length,
  unitBytes: overlayUnitBytes,
} as const

interface Opened {
  readonly image: WritableImage
  readonly files: OverlayFiles
}

async function open(directory: string): Promise<Opened> {
  const files = await OverlayFiles.open(directory, description)
  return { files, image: new OverlayImage(await base(), files) }
}

async function readAll(image: DiskImage, offset = 0, length = image.sizeBytes): Promise<Buffer> {
  const read: ImageRead = await image.read(offset, length)
  const bytes = Buffer.concat(read.parts.map((part) => ('bytes' in part ? part.bytes : Buffer.alloc(part.zeroBytes))))
  read.release()
  return bytes
}

const length = fc.oneof(fc.integer({ min: 1, max: 3 * overlayUnitBytes }), fc.constant(overlayUnitBytes))
const place = fc.oneof(
  fc.nat(content.length - 1),
  fc.nat(content.length / overlayUnitBytes - 1).map((unit) => unit * overlayUnitBytes),
)
const change = fc.record({ place, length, fill: fc.oneof(fc.constant(null), fc.integer({ min: 1, max: 255 })) })

test('property: what was written is read, the rest is the point, and all of it after a flush and another start', async () => {
  await using directory = await temporaryDirectory()
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 15 }), async (changes) => {
      run += 1
      const place = directory.file(String(run))
      const model = Buffer.from(content)
      const first = await open(place)
      for (const { place: offset, length, fill } of changes) {
        const end = Math.min(offset + length, content.length)
        if (fill === null) await first.image.zero(offset, end - offset)
        else await first.image.write(offset, Buffer.alloc(end - offset, fill))
        model.fill(fill ?? 0, offset, end)
      }
      assert.ok((await readAll(first.image)).equals(model))
      const [{ place: offset } = { place: 0 }] = changes
      const some = Math.min(9000, content.length - offset)
      assert.ok((await readAll(first.image, offset, some)).equals(model.subarray(offset, offset + some)))
      await first.image.flush()
      await first.files.close()
      const second = await open(place)
      assert.ok((await readAll(second.image)).equals(model))
      await second.files.close()
      await rm(place, { recursive: true })
    }),
    { numRuns: 40 },
  )
  assert.ok((await readAll(await base())).equals(content))
})

test('parts of one unit that are written at the same time are all there', async () => {
  await using directory = await temporaryDirectory()
  const { image, files } = await open(directory.file('overlay'))
  const model = Buffer.from(content)
  const pieces = Array.from({ length: 64 }, (_, index) => ({
    offset: 3 * overlayUnitBytes + index * 512,
    fill: index + 1,
  }))
  await Promise.all(
    pieces.map(async ({ offset, fill }) => {
      await image.write(offset, Buffer.alloc(512, fill))
    }),
  )
  for (const { offset, fill } of pieces) model.fill(fill, offset, offset + 512)
  assert.ok((await readAll(image)).equals(model))
  await files.close()
})

test('what was not flushed is the point again, whole, and never half of a unit', async () => {
  await using directory = await temporaryDirectory()
  const place = directory.file('overlay')
  const first = await open(place)
  await first.image.write(100, Buffer.alloc(10, 1))
  await first.image.flush()
  await first.image.write(overlayUnitBytes, Buffer.alloc(2 * overlayUnitBytes, 2))
  await first.image.write(50, Buffer.alloc(10, 3))
  // Its end without a flush is that of a process that dies.
  await first.files.close()
  const second = await open(place)
  const bytes = await readAll(second.image)
  assert.ok(bytes.subarray(overlayUnitBytes).equals(content.subarray(overlayUnitBytes)))
  assert.ok(bytes.subarray(100, 110).equals(Buffer.alloc(10, 1)))
  // What lies in the file of units that nobody has must not come to light.
  await second.image.zero(overlayUnitBytes, 2 * overlayUnitBytes)
  assert.ok((await readAll(second.image, overlayUnitBytes, 2 * overlayUnitBytes)).every((byte) => byte === 0))
  await second.files.close()
})

test('an overlay takes what was written to it, and not the size of the disk; zeros take nothing', async () => {
  await using directory = await temporaryDirectory()
  const place = directory.file('overlay')
  const { image, files } = await open(place)
  await image.write(0, Buffer.alloc(64 * 1024, 1))
  await image.zero(0, content.length)
  await image.write(10 * 64 * 1024, Buffer.alloc(64 * 1024, 1))
  await image.flush()
  assert.ok((await stat(join(place, 'data'))).blocks * 512 <= 80 * 1024)
  await files.close()
})

test('an overlay is of one disk of one point, and of one mount at a time', async () => {
  await using directory = await temporaryDirectory()
  const place = directory.file('overlay')
  const { files } = await open(place)
  await assert.rejects(open(place), { code: 'E_OVERLAY_IN_USE' })
  await files.close()
  for (const other of [{ point: 'q' }, { disk: 'system' }, { sizeBytes: 5 }]) {
    await assert.rejects(OverlayFiles.open(place, { ...description, ...other }), { code: 'E_OVERLAY_FOREIGN' })
  }
  await writeFile(join(place, 'overlay.json'), '{"strata":"overlay","version":2}')
  await assert.rejects(open(place), { code: 'E_OVERLAY_FOREIGN' })
  await rm(join(place, 'overlay.json'))
  await assert.rejects(open(place), { code: 'E_OVERLAY_FOREIGN', message: /not empty/ })
  await assert.rejects(OverlayFiles.open(directory.file('overlay/data'), description), { code: 'E_OVERLAY_FOREIGN' })
  await modesAreOwn(directory)
})

async function modesAreOwn(directory: TemporaryDirectory): Promise<void> {
  const own = directory.file('another')
  const { files } = await open(own)
  assert.equal((await stat(own)).mode & 0o777, 0o700)
  for (const name of await readdir(own)) assert.equal((await stat(join(own, name))).mode & 0o077, 0, name)
  await files.close()
}

test('property: a set of units has what was added, in runs, and is the same when it was stored', () => {
  const range = fc
    .tuple(fc.nat(100_000), fc.integer({ min: 1, max: 40_000 }))
    .map(([from, count]) => [from, from + count] as const)
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), range, (ranges, [from, to]) => {
      const set = new UnitSet()
      for (const [first, end] of ranges) set.add(first, end)
      const stored = new UnitSet()
      for (const [number, bytes] of set.takeChanged()) stored.load(number, bytes)
      assert.deepEqual(set.takeChanged(), [])
      const isIn = (unit: number): boolean => ranges.some(([first, end]) => unit >= first && unit < end)
      for (const one of [set, stored]) {
        let at = from
        for (const run of one.runs(from, to)) {
          assert.equal(run.from, at)
          assert.ok(run.to > run.from && run.to <= to)
          for (const unit of [run.from, run.to - 1, Math.floor((run.from + run.to) / 2)])
            assert.equal(isIn(unit), run.isIn)
          if (run.to < to) assert.notEqual(isIn(run.to), run.isIn)
          at = run.to
        }
        assert.equal(at, to)
      }
    }),
  )
})

test('overlays to be thrown away whose mounts have died are removed, and none that is in use', async () => {
  await using directory = await temporaryDirectory()
  await removeDeadOverlays(directory.file('nothing'))
  const dead = await open(directory.file('dead'))
  await dead.files.close()
  const living = await open(directory.file('living'))
  await mkdir(directory.file('just-made'))
  await removeDeadOverlays(directory.path)
  assert.deepEqual((await readdir(directory.path)).sort(), ['just-made', 'living'])
  await living.files.close()
})

test('the largest write comes whole, and is durable with the flag that asks for it', async () => {
  await using directory = await temporaryDirectory()
  const size = 40 * 2 ** 20
  const files = await OverlayFiles.open(directory.file('overlay'), { ...description, sizeBytes: size })
  const zeros: DiskImage = {
    sizeBytes: size,
    blockBytes: 65_536,
    read: async (_, length) =>
      await Promise.resolve({ parts: [{ zeroBytes: length }], heldBytes: 0, release: () => undefined }),
    extents: async (_, length) => await Promise.resolve([{ lengthBytes: length, isZero: true }]),
  }
  const socketPath = directory.file('nbd.sock')
  const exports = [{ name: 'disk', description: '', image: new OverlayImage(zeros, files) }]
  const onError = ({ message }: Error): void => assert.fail(message)
  const server = await NbdServer.start({ exports, tls: undefined, place: { socketPath }, clock: systemClock, onError })
  try {
    await using client = await RawClient.ready(socketPath, { structured: true })
    const bytes = Buffer.from(seededRandom('the largest write')(32 * 2 ** 20))
    client.request(1, 12_345n, bytes.length, { flags: 1 })
    client.send(bytes)
    assert.deepEqual(
      (await client.chunks())?.map(({ type }) => type),
      [0],
    )
    client.request(0, 12_345n, bytes.length, { flags: 4 })
    assert.ok((await client.chunks())?.[0]?.payload.subarray(8).equals(bytes))
    for (const [command, flags, offset, length, error] of [
      [1, 0, size - 1, 2, 28],
      [6, 0, size, 1, 28],
      [4, 2, 0, 1, 22],
      [3, 1, 0, 0, 22],
    ] as const) {
      client.request(command, BigInt(offset), length, { flags })
      if (command === 1) client.send(Buffer.alloc(length))
      const [chunk] = (await client.chunks()) ?? []
      assert.deepEqual([chunk?.type, chunk?.payload.readUInt32BE(0)], [0x8001, error])
    }
    client.request(6, 20_000n, 100_000, { flags: 2 })
    assert.deepEqual(
      (await client.chunks())?.map(({ type }) => type),
      [0],
    )
    client.request(0, 20_000n, 100_000, { flags: 4 })
    assert.ok((await client.chunks())?.[0]?.payload.subarray(8).every((byte) => byte === 0))
  } finally {
    await server.close()
    await files.close()
  }
})
