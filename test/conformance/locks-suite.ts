import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import type { ObjectLock, ObjectStore } from '@strata/shared/store/object-store.ts'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { bytesOf, namesIn, rejects } from './store-helpers.ts'

/** A store that can lock, and what somebody with all credentials can do to it. */
export interface LockedStoreUnderTest {
  /** The same objects each time, and nothing remembered. */
  open(place: string): Promise<ObjectStore>
  /** Puts a newer version above the object, past all of our rules. */
  overwrite(place: string, name: string): Promise<void>
  /** Tries to take every version and delete marker of an object away, by their ids. */
  deleteVersions(place: string, name: string): Promise<void>
  stop(): Promise<void>
}

const tenant = `tenants/${'0a'.repeat(16)}`
const set = '1b'.repeat(16)
const kept = `${tenant}/points/${set}/0000000001`
const pack = `${tenant}/chains/${set}/${'2c'.repeat(16)}/${'3d'.repeat(16)}/data-00000000-0123456789abcdef`
const session = `${tenant}/sessions/${set}/${'3d'.repeat(16)}/open`
const pin = `${tenant}/pins/${set}/${'4e'.repeat(16)}`
const hourMs = 3600_000

/** What stores guarantee that can lock: format/history.ts, and the comments of ObjectStore. */
export function describeLocks(
  start: () => Promise<LockedStoreUnderTest>,
  { composes = true }: { readonly composes?: boolean } = {},
): void {
  let under: LockedStoreUnderTest
  let places = 0
  before(async () => {
    under = await start()
  })
  after(async () => {
    await under.stop()
  })

  async function open(): Promise<{ place: string; store: ObjectStore; again: () => Promise<ObjectStore> }> {
    places += 1
    const place = `place-${String(places)}`
    return { place, store: await under.open(place), again: async () => await under.open(place) }
  }

  async function lockFrom(
    store: ObjectStore,
    ms: number,
    mode: ObjectLock['mode'] = 'compliance',
  ): Promise<ObjectLock> {
    // Whole seconds: S3 keeps no more everywhere.
    return { mode, untilMs: Math.ceil(((await store.now()) + ms) / 1000) * 1000 }
  }

  describe('locks', () => {
    test('it can lock', async () => {
      const { store } = await open()
      assert.deepEqual(await store.lockability(), { canLock: true })
    })

    test('an object has the lock that it was put with, or was given, and that can become longer', async () => {
      const { store, again } = await open()
      const lock = await lockFrom(store, hourMs)
      await store.put(kept, [bytesOf(100)], { ifAbsent: true, lock })
      await store.put(pack, [bytesOf(100)], { ifAbsent: true })
      assert.deepEqual(await (await again()).lockOf(kept), lock)
      assert.equal(await store.lockOf(pack), undefined)
      await store.lock(pack, lock)
      const longer = await lockFrom(store, 2 * hourMs)
      await store.lock(kept, longer)
      assert.deepEqual(await (await again()).lockOf(pack), lock)
      assert.deepEqual(await store.lockOf(kept), longer)
      const loose = await lockFrom(store, hourMs, 'governance')
      await store.put(`${kept}0`, [], { lock: loose })
      assert.deepEqual(await store.lockOf(`${kept}0`), loose)
      for (const missing of [`${tenant}/keys/00000001`, pin]) {
        await rejects(store.lock(missing, lock), 'E_OBJECT_MISSING')
        await rejects(store.lockOf(missing), 'E_OBJECT_MISSING')
        await rejects(store.setLegalHold(missing, true), 'E_OBJECT_MISSING')
      }
    })

    test('what is locked outlasts whoever has all credentials; a hold does so until it is taken away', async () => {
      const { place, store, again } = await open()
      const lock = await lockFrom(store, hourMs)
      const contents = new Map<string, Uint8Array>()
      for (const [index, name] of [kept, pack, `${kept}1`].entries()) {
        const bytes = bytesOf(1000 + index)
        contents.set(name, bytes)
        await store.put(name, [bytes], { ifAbsent: true })
        if (name !== `${kept}1`) await store.lock(name, lock)
        else await store.setLegalHold(name, true)
        await store.setTags(name, { a: 'b' })
      }
      await store.put(`${kept}2`, [bytesOf(10)])
      for (const name of [...contents.keys(), `${kept}2`]) {
        await under.overwrite(place, name)
        await store.delete(name)
        await under.overwrite(place, name)
        await under.overwrite(place, name)
        await store.delete(name)
      }
      const check = async (): Promise<void> => {
        const looking = await again()
        for (const [name, bytes] of contents) {
          assert.deepEqual(await looking.get(name), bytes, name)
          assert.deepEqual(await looking.get(name, { offset: 10, length: 20 }), bytes.subarray(10, 30))
          assert.equal((await looking.head(name))?.sizeBytes, bytes.length)
          assert.deepEqual(await looking.tags(name), { a: 'b' })
          await rejects(looking.put(name, [bytesOf(3)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
        }
      }
      await check()
      for (const name of [...contents.keys(), `${kept}2`]) await under.deleteVersions(place, name)
      await check()
      const looking = await again()
      assert.deepEqual(await namesIn(looking, `${tenant}/points/`), [kept, `${kept}1`])
      assert.deepEqual(await Array.fromAsync(looking.listDirectories('tenants/')), [`${tenant}/`])
      assert.equal(await looking.head(`${kept}2`), undefined)
      await looking.setLegalHold(`${kept}1`, false)
      await under.deleteVersions(place, `${kept}1`)
      assert.deepEqual(await namesIn(await again(), `${tenant}/points/`), [kept])
    })

    test('the first version counts of what is written once; the newest of what is renewed', async () => {
      const { place, store, again } = await open()
      for (const name of [kept, pack, session, pin]) await store.put(name, [Buffer.from('first')])
      for (const name of [kept, pack, session, pin]) await under.overwrite(place, name)
      const read = async (name: string): Promise<string> => Buffer.from(await (await again()).get(name)).toString()
      for (const name of [kept, pack, session]) assert.equal(await read(name), 'first', name)
      assert.notEqual(await read(pin), 'first')
    })

    test('what is deleted is gone for those who read it, but for what is written for good', async () => {
      const { store, again } = await open()
      for (const name of [kept, pack, session, pin]) await store.put(name, [Buffer.from('first')], { ifAbsent: true })
      for (const name of [kept, pack, session, pin]) await store.delete(name)
      const looking = await again()
      for (const name of [session, pin]) {
        assert.equal(await looking.head(name), undefined, name)
        await rejects(looking.get(name), 'E_OBJECT_MISSING')
      }
      assert.deepEqual(await namesIn(looking, `${tenant}/sessions/`), [])
      assert.deepEqual(await namesIn(looking, `${tenant}/chains/`), [])
      assert.deepEqual(await namesIn(looking, `${tenant}/points/`), [kept])
      // Maps go on to refer to it, as long as the bucket keeps it.
      assert.equal(Buffer.from(await looking.get(pack)).toString(), 'first')
      for (const name of [kept, pack, session, pin]) {
        await rejects(looking.put(name, [Buffer.from('second')], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      }
    })

    test('of many who create the same object at once exactly one has', async () => {
      const { store, again } = await open()
      await probeCreateIfAbsent(store, systemRandomBytes)
      const writers = await Promise.all(Array.from({ length: 8 }, again))
      for (let round = 0; round < 20; round += 1) {
        const name = `${tenant}/points/${set}/1${String(round).padStart(9, '0')}`
        const outcomes = await Promise.allSettled(
          writers.map(async (writer, index) => {
            await writer.put(name, [Buffer.from(String(index))], { ifAbsent: true })
          }),
        )
        const winners = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [String(index)] : []))
        assert.deepEqual(winners, [Buffer.from(await (await again()).get(name)).toString()])
      }
    })

    test('a listing goes on behind a name, whatever lies above it', async () => {
      const { place, store, again } = await open()
      const names = Array.from({ length: 5 }, (_, index) => `${tenant}/points/${set}/000000000${String(index + 1)}`)
      for (const name of names) await store.put(name, [bytesOf(5)], { ifAbsent: true })
      for (const name of names) for (let more = 0; more < 3; more += 1) await under.overwrite(place, name)
      const prefix = `${tenant}/points/${set}/`
      assert.deepEqual(await namesIn(await again(), prefix, names[1]), names.slice(2))
      const others = `${tenant}/points/${'2b'.repeat(16)}/0000000001`
      await store.put(others, [bytesOf(5)])
      const directories = store.listDirectories(`${tenant}/points/`, { startAfter: prefix })
      assert.deepEqual(await Array.fromAsync(directories), [`${tenant}/points/${'2b'.repeat(16)}/`])
    })

    test('composes out of the first versions', { skip: !composes }, async () => {
      const { place, store } = await open()
      const length = store.copying?.rangeBytesMin ?? 1
      const bytes = bytesOf(length + 10)
      await store.put(pack, [bytes])
      await under.overwrite(place, pack)
      const target = pack.replace('data-00000000', 'data-00000001')
      await store.compose(target, [{ source: pack, offset: 10, length }], [Buffer.from('end')])
      assert.deepEqual(await store.get(target), new Uint8Array([...bytes.subarray(10), ...Buffer.from('end')]))
    })
  })
}
