import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { systemClock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { tenantSessionsPrefix } from '@strata/shared/format/names.ts'
import { blockBytesMin, overlayUnitBytes } from '@strata/shared/limits.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { openImage } from '@strata/workers/deliver/image/open-image.ts'
import { OverlayFiles } from '@strata/workers/deliver/image/overlay/overlay-files.ts'
import { OverlayImage } from '@strata/workers/deliver/image/overlay/overlay-image.ts'
import { keepChanges, type Kept } from '@strata/workers/deliver/keep/keep-changes.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { dyingAt, steppedStore } from '@strata/workers/testing/stepped-store.ts'
import { assertWhole, makeMachine, pointsOf, type Machine } from '../chains/machine.ts'
import { seededRandom } from '../fixtures/make-point.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'

/** What was written to a mount, kept as a point. */
const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())
const blockBytes = blockBytesMin

interface Tried extends AsyncDisposable {
  readonly image: OverlayImage
  readonly point: Point
  keep(repository?: Repository, point?: Point): Promise<Kept>
}

async function tryOut(machine: Machine): Promise<Tried> {
  const { repository, privateKey } = machine.owner
  const point = await machine.newest()
  const onDamage = ({ message }: { message: string }): void => assert.fail(message)
  const { image: base } = await openImage({ repository, privateKey, point, diskName: 'system', pool, onDamage })
  const directory = await temporaryDirectory()
  const files = await OverlayFiles.open(directory.file('overlay'), {
    strata: 'overlay',
    version: 1,
    point: pointId(point),
    disk: 'system',
    sizeBytes: base.sizeBytes,
    unitBytes: overlayUnitBytes,
  })
  const image = new OverlayImage(base, files)
  return {
    image,
    point,
    keep: async (into = repository, on = point) =>
      await keepChanges({
        repository: into,
        point: on,
        disk: 0,
        image,
        blocks: image.changedBlocks(),
        handOver: { path: directory.path, segmentBytes: 2 * blockBytes },
        threads: 1,
        clock: systemClock,
      }),
    [Symbol.asyncDispose]: async () => {
      await files.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}

/** Some of a block, some zeros, a block that was written and has not changed, and the short one at the end. */
async function change(machine: Machine, image: OverlayImage): Promise<number> {
  const disk = machine.disks[0] ?? assert.fail()
  const random = seededRandom('what was written')
  const write = async (offset: number, bytes: Uint8Array): Promise<void> => {
    await image.write(offset, bytes)
    disk.set(bytes, offset)
  }
  await write(5 * blockBytes + 777, random(3000))
  await write(600 * blockBytes, random(2 * blockBytes))
  await write(disk.length - 10, random(10))
  await image.write(7 * blockBytes, disk.subarray(7 * blockBytes, 8 * blockBytes))
  await image.zero(2 * blockBytes, blockBytes)
  disk.fill(0, 2 * blockBytes, 3 * blockBytes)
  return 6
}

test('what was written becomes a point of the chain, built on the one that was mounted, with no other bytes', async () => {
  const machine = await makeMachine()
  const base = await machine.newest()
  await using tried = await tryOut(machine)
  const blocks = await change(machine, tried.image)
  assert.equal([...tried.image.changedBlocks()].length, blocks)
  const { point, changedBytes, scannedBytes } = await tried.keep()
  const { kind, chain, base: builtOn, warnings, statistics } = point.manifest
  assert.deepEqual([kind, chain, builtOn?.point], ['incremental', base.manifest.chain, pointId(base)])
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['W_KEPT_CHANGES'],
  )
  // The last block is a short one, and one had not changed.
  const lastBytes = (machine.disks[0]?.length ?? 0) % blockBytes
  assert.equal(scannedBytes, (blocks - 1) * blockBytes + lastBytes)
  assert.equal(changedBytes, (blocks - 2) * blockBytes + lastBytes)
  assert.equal(statistics.changedBytes, changedBytes)
  await assertWhole(pool, machine, point)
})

test('a backup that came meanwhile stays what it is, and what was kept comes behind it', async () => {
  const machine = await makeMachine()
  await using tried = await tryOut(machine)
  const before = machine.disks.map((bytes) => Buffer.from(bytes))
  await change(machine, tried.image)
  const changed = machine.disks.map((bytes) => Buffer.from(bytes))
  machine.disks.forEach((bytes, index) => {
    bytes.set(before[index] ?? [])
  })
  machine.write(0, 9)
  const other = await machine.backUp()
  const { point } = await tried.keep()
  assert.equal(point.sequence, other.sequence + 1)
  machine.disks.forEach((bytes, index) => {
    bytes.set(changed[index] ?? [])
  })
  await assertWhole(pool, machine, point)
})

test('nothing written is a point like its base', async () => {
  const machine = await makeMachine()
  await using tried = await tryOut(machine)
  const { point, changedBytes } = await tried.keep()
  assert.equal(changedBytes, 0)
  await assertWhole(pool, machine, point)
})

test('a run that dies or fails at any request makes a whole point or none, and the next one has all', async () => {
  for (const moment of ['before', 'after'] as const) {
    for (let number = 1; ; number += 3) {
      const machine = await makeMachine()
      const { owner } = machine
      await using tried = await tryOut(machine)
      await change(machine, tried.image)
      const death = dyingAt(number, moment)
      const dying = new Repository(steppedStore(owner.store, death.around), owner.repository.ingestKeys, owner.random)
      const ended = await tried.keep(dying).catch((error: unknown) => error)
      if (!death.reached()) {
        assert.ok(!(ended instanceof Error), String(ended))
        break
      }
      assert.ok(ended instanceof Error || (await pointsOf(owner.repository)).length === 4, String(ended))
      const { point } = await tried.keep()
      assert.ok((await pointsOf(owner.repository)).length <= 5)
      if (number % 4 === 0) await assertWhole(pool, machine, point)
    }
  }
})

test('a run that fails gives its session up', async () => {
  const machine = await makeMachine()
  const { owner } = machine
  await using tried = await tryOut(machine)
  await change(machine, tried.image)
  const full = storeWith(owner.store, {
    put: async (name, parts, options) => {
      if (name.includes('/data-')) throw new StrataError('E_STORE_FULL', 'no room')
      await owner.store.put(name, parts, options)
    },
  })
  const repository = new Repository(full, owner.repository.ingestKeys, owner.random)
  await assert.rejects(tried.keep(repository), { code: 'E_STORE_FULL' })
  const left = (await Array.fromAsync(owner.store.list(tenantSessionsPrefix(owner.repository.tenant)))).map(
    ({ name }) => name,
  )
  assert.deepEqual(
    left.filter((name) => !name.endsWith('/over')),
    [],
  )
  assert.equal((await pointsOf(owner.repository)).length, 3)
})

test('a chain that is closed takes nothing, and it is said before anything is read what to do instead', async () => {
  const machine = await makeMachine()
  const { repository } = machine.owner
  await using tried = await tryOut(machine)
  const lock = {
    mode: 'compliance',
    days: 5,
    closesAt: '2026-01-01T00:00:00.000Z',
    until: '2036-01-01T00:00:00.000Z',
  } as const
  const { point } = tried
  const closed = { ...point, manifest: { ...point.manifest, lock } }
  const left = (await Array.fromAsync(machine.owner.store.list(''))).length
  await assert.rejects(tried.keep(repository, closed), { code: 'E_CHAIN_CLOSED', hint: /nbdfuse/ })
  assert.equal((await Array.fromAsync(machine.owner.store.list(''))).length, left)
})
