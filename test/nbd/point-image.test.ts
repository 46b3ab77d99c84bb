import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { blockBytesMin, pageEntriesMax } from '@strata/shared/limits.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import type { DiskImage, ImageRead } from '@strata/workers/deliver/image/disk-image.ts'
import { openImage } from '@strata/workers/deliver/image/open-image.ts'
import { NbdServer } from '@strata/workers/deliver/nbd/nbd-server.ts'
import type { Damage } from '@strata/workers/read/damage.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { makeMachine, type Machine } from '../chains/machine.ts'
import { diskOf, makePoint, makeRepository, seededRandom } from '../fixtures/make-point.ts'
import { flipByte, storedPoint } from '../fixtures/stored-places.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { RawClient } from './raw-client.ts'

/** Disks of points, read anywhere: real records, and whatever can be damaged or lost. */
const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())
const blockBytes = blockBytesMin
const MiB = 2 ** 20

interface Opening {
  readonly store?: ObjectStore
  readonly point?: Point
  readonly cacheBytes?: number
  readonly onDamage?: (damage: Damage) => void
}

async function open(machine: Machine, diskName: string, opening: Opening = {}): Promise<DiskImage> {
  const { owner } = machine
  const { store = owner.store, point = await machine.newest(), cacheBytes, onDamage } = opening
  const { image } = await openImage({
    repository: new Repository(store, owner.repository.ingestKeys, owner.random),
    privateKey: owner.privateKey,
    point,
    diskName,
    pool,
    onDamage: onDamage ?? (({ message }) => assert.fail(message)),
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
  })
  return image
}

function joined(read: ImageRead): Buffer {
  const { parts } = read
  const bytes = Buffer.concat(parts.map((part) => ('bytes' in part ? part.bytes : Buffer.alloc(part.zeroBytes))))
  read.release()
  return bytes
}

const machine = await makeMachine()
const [system, data] = [machine.disks[0] ?? assert.fail(), machine.disks[1] ?? assert.fail()]

test('any range of a disk is what was backed up, whoever else reads, also where hardly anything can be kept', async () => {
  for (const cacheBytes of [8 * blockBytes, undefined]) {
    const image = await open(machine, 'system', { ...(cacheBytes === undefined ? {} : { cacheBytes }) })
    assert.equal(image.sizeBytes, system.length)
    const lengthMax = Math.min(system.length, 3 * blockBytes)
    const range = fc
      .tuple(fc.nat(system.length - 1), fc.integer({ min: 1, max: lengthMax }))
      .map(([offset, length]) => ({ offset, length: Math.min(length, system.length - offset) }))
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 12 }), async (ranges) => {
        await Promise.all(
          ranges.map(async ({ offset, length }) => {
            const bytes = joined(await image.read(offset, length))
            assert.ok(bytes.equals(system.subarray(offset, offset + length)))
          }),
        )
      }),
      { numRuns: 60 },
    )
  }
})

test('a disk that is read from its beginning on comes whole, and no record is fetched twice', async () => {
  let bytesRead = 0
  const store = storeWith(machine.owner.store, {
    get: async (name, part) => {
      const bytes = await machine.owner.store.get(name, part)
      if (name.includes('/data-')) bytesRead += bytes.length
      return bytes
    },
  })
  const image = await open(machine, 'system', { store })
  const step = 50_000
  for (let offset = 0; offset < system.length; offset += step) {
    const length = Math.min(step, system.length - offset)
    assert.ok(joined(await image.read(offset, length)).equals(system.subarray(offset, offset + length)))
  }
  const { records } = await storedPoint(machine.owner.repository, await machine.newest())
  const storedBytes = [...records.values()].reduce((sum, { length }) => sum + length, 0)
  assert.ok(bytesRead < 1.5 * storedBytes, `${String(bytesRead)} of ${String(storedBytes)} bytes`)
})

test('every point of a chain opens with as few requests as the first one', async () => {
  const points = await Promise.all([1, 2, 3].map(async (number) => [number, await requestsToOpen(number)] as const))
  assert.deepEqual(new Set(points.map(([, requests]) => requests)).size, 1)
})

async function requestsToOpen(sequence: number): Promise<number> {
  const { owner } = machine
  let requests = 0
  const store = storeWith(owner.store, {
    get: async (name, part) => {
      requests += 1
      return await owner.store.get(name, part)
    },
  })
  const point = await readPoint(owner.repository, owner.repository.setIdOf('machine'), sequence)
  const image = await open(machine, 'data', { store, point })
  joined(await image.read(0, 1))
  return requests
}

test('extents are by blocks, say what is zeros, and end where the answer is full', async () => {
  const image = await open(machine, 'system')
  const all = await image.extents(0, system.length, 1000)
  assert.equal(
    all.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    system.length,
  )
  let at = 0
  for (const [index, { lengthBytes, isZero }] of all.entries()) {
    assert.notEqual(all[index - 1]?.isZero, isZero)
    assert.equal(
      isZero,
      system.subarray(at, at + lengthBytes).every((byte) => byte === 0),
    )
    at += lengthBytes
  }
  assert.ok(all.length > 3)
  const [first, second] = all
  assert.deepEqual(await image.extents(0, system.length, 2), [first, second])
  assert.deepEqual(await image.extents(100, 1000, 5), [{ lengthBytes: 1000, isZero: false }])
  const dataEnd = pageEntriesMax * blockBytes
  assert.deepEqual(await image.extents(dataEnd - blockBytes - 1, blockBytes + 2, 5), [
    { lengthBytes: blockBytes + 1, isZero: true },
    { lengthBytes: 1, isZero: false },
  ])
})

test('a damaged block is an error of whoever wants it, named, and no other block is lost', async () => {
  const broken = await machine.copied()
  const { repository, store } = broken.owner
  const { records } = await storedPoint(repository, await broken.newest())
  const place = records.get(5) ?? assert.fail()
  await flipByte(store, place.object, place.offset + 60)
  const damage: Damage[] = []
  const image = await open(broken, 'system', { onDamage: (one) => damage.push(one) })
  for (let time = 1; time <= 2; time += 1) {
    await assert.rejects(image.read(5 * blockBytes + 7, 10), {
      code: 'E_POINT_DAMAGED',
      message: /block 5 of disk 'system'/,
    })
    await assert.rejects(image.read(4 * blockBytes, 3 * blockBytes), { code: 'E_POINT_DAMAGED' })
  }
  for (const block of [4, 6]) {
    const range = [block * blockBytes, (block + 1) * blockBytes] as const
    assert.ok(joined(await image.read(range[0], blockBytes)).equals(system.subarray(...range)))
  }
  assert.deepEqual(new Set(damage.map(({ block, pack }) => `${String(block)} ${pack}`)), new Set([`5 ${place.object}`]))
})

test('a store that fails for a while fails the reads of that while, and no other', async () => {
  let isAway = true
  const store = storeWith(machine.owner.store, {
    get: async (name, part) => {
      if (isAway && name.includes('/data-')) throw new StrataError('E_STORE_UNREACHABLE', 'away')
      return await machine.owner.store.get(name, part)
    },
  })
  const image = await open(machine, 'data', { store, cacheBytes: 8 * blockBytes })
  for (let time = 0; time < 20; time += 1) {
    await assert.rejects(image.read(0, 2 * blockBytes), { code: 'E_STORE_UNREACHABLE' })
  }
  isAway = false
  assert.ok(joined(await image.read(0, 3 * blockBytes)).equals(data.subarray(0, 3 * blockBytes)))
})

test('clients that do not take their answers keep nobody from reading', async () => {
  const owner = await makeRepository({ seed: 'slow clients' })
  const bytes = Buffer.from(seededRandom('a full disk')(40 * MiB))
  const point = await makePoint(owner, { disks: [diskOf('disk', bytes, 4 * blockBytes)] })
  const { repository, privateKey } = owner
  const { image } = await openImage({
    repository,
    privateKey,
    point,
    pool,
    onDamage: ({ message }) => assert.fail(message),
  })
  await using directory = await temporaryDirectory()
  const socketPath = directory.file('nbd.sock')
  const exports = [{ name: 'disk', description: '', image }]
  const onError = ({ message }: StrataError): void => assert.fail(message)
  const server = await NbdServer.start({ exports, tls: undefined, place: { socketPath }, clock: systemClock, onError })
  try {
    const slow = await Promise.all([1, 2, 3, 4, 5].map(() => RawClient.ready(socketPath)))
    for (const client of slow) {
      for (let at = 0; at < 200; at += 1) client.request(0, BigInt((at % 40) * MiB), MiB)
    }
    await systemClock.sleep(500)
    await using quick = await RawClient.ready(socketPath)
    for (let at = 0; at < 40; at += 1) {
      quick.request(0, BigInt(at * MiB), MiB)
      const reply = await quick.simpleReply(MiB)
      assert.ok(reply?.data.equals(bytes.subarray(at * MiB, (at + 1) * MiB)))
    }
    quick.request(0, 0n, 32 * MiB)
    assert.ok((await quick.simpleReply(32 * MiB))?.data.equals(bytes.subarray(0, 32 * MiB)))
    // They come back to it, and have missed nothing.
    for (const client of slow) {
      for (let at = 0; at < 200; at += 1) {
        const reply = await client.simpleReply(MiB)
        assert.equal(reply?.data.length, MiB)
      }
      await client[Symbol.asyncDispose]()
    }
  } finally {
    await server.close()
  }
})
