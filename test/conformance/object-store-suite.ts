import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import { atOnce } from '@strata/shared/store/at-once.ts'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { StoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { systemClock } from '@strata/shared/clock.ts'
import type { StoreObserver } from '@strata/shared/store/store-requests.ts'
import { describeCompose } from './compose-suite.ts'
import { bytesOf, infosIn, namesIn, rejects } from './store-helpers.ts'
import { describeTags } from './tags-suite.ts'

/** The guarantees of ObjectStore as tests. Every implementation passes all of them. */
export interface StoreUnderTest {
  /** A store of its own, empty at first, in the same bucket as the others. @param place one part of a name */
  open(place: string, onRequest: StoreObserver): Promise<ObjectStore>
  /** A store whose bucket, container or directory is not there. */
  openMissing(): Promise<ObjectStore>
  /** What lies in the bucket without being an object yet, where a server lets us see it. */
  readonly unfinished?: () => Promise<readonly string[]>
  stop(): Promise<void>
}

const MiB = 1024 ** 2
const raceKeys = 60
const raceWriters = 12
const listedObjects = 2345

/** @param hasBuckets false where there is nothing that could be missing */
export function describeObjectStore(start: () => Promise<StoreUnderTest>, hasBuckets = true): void {
  let underTest: StoreUnderTest
  let places = 0
  const openStores: ObjectStore[] = []
  const open = async (
    place = `place-${String((places += 1))}`,
  ): Promise<{ store: ObjectStore; metrics: StoreMetrics; told: string[] }> => {
    const told: string[] = []
    const metrics = createStoreMetrics(({ kind, name }) => told.push(`${kind} ${name}`))
    const store = await underTest.open(place, metrics.onRequest)
    openStores.push(store)
    return { store, metrics, told }
  }

  before(async () => {
    underTest = await start()
  })

  after(async () => {
    for (const store of openStores) await store.close()
    await underTest.stop()
  })

  describe('put and get', () => {
    test('give back what was put, in one part or in many', async () => {
      const { store } = await open()
      const parts = [bytesOf(1), bytesOf(0), bytesOf(70_001), bytesOf(3)]
      await store.put('one', [parts[2] ?? bytesOf(0)])
      await store.put('many', parts)
      assert.deepEqual(await store.get('one'), parts[2])
      assert.deepEqual(await store.get('many'), joined(parts))
    })

    test('take more parts than the system writes at once', async () => {
      const { store } = await open()
      const parts = Array.from({ length: 3000 }, (_, index) => bytesOf(index % 7))
      await store.put('parts', parts)
      assert.deepEqual(await store.get('parts'), joined(parts))
    })

    test('work for an empty object', async () => {
      const { store } = await open()
      await store.put('no-parts', [])
      await store.put('empty-part', [bytesOf(0)], { ifAbsent: true })
      assert.equal((await store.get('no-parts')).byteLength, 0)
      assert.equal((await store.get('empty-part')).byteLength, 0)
      assert.equal((await store.head('empty-part'))?.sizeBytes, 0)
      await rejects(store.get('no-parts', { offset: 0, length: 1 }), 'E_OBJECT_TRUNCATED')
    })

    test('work for 16 MiB', async () => {
      const { store } = await open()
      const bytes = bytesOf(16 * MiB)
      await store.put('large', [bytes.subarray(0, 5 * MiB + 1), bytes.subarray(5 * MiB + 1)])
      assert.ok(Buffer.from(bytes).equals(await store.get('large')))
    })

    test('give each caller bytes of its own', async () => {
      const { store } = await open()
      const given = bytesOf(1000)
      const original = given.slice()
      await store.put('object', [given])
      given.fill(0)
      const first = await store.get('object')
      assert.deepEqual(first, original)
      first.fill(0)
      assert.deepEqual(await store.get('object'), original)
      assert.equal(first.byteOffset, 0)
      assert.equal(first.buffer.byteLength, first.byteLength)
    })

    test('replace an object as a whole, whatever is read meanwhile', async () => {
      const { store } = await open()
      const generation = (value: number): Uint8Array => new Uint8Array(300_000 + value).fill(value)
      await store.put('object', [generation(0)])
      let written = false
      const write = async (): Promise<void> => {
        for (let value = 1; value <= 20; value += 1) await store.put('object', [generation(value)])
        written = true
      }
      const read = async (): Promise<void> => {
        do {
          const bytes = await store.get('object')
          assert.deepEqual(bytes, generation(bytes[0] ?? -1))
        } while (!written)
      }
      await Promise.all([write(), read(), read()])
      assert.deepEqual(await store.get('object'), generation(20))
    })

    test('say that an object is missing', async () => {
      const { store } = await open()
      await store.put('there/object', [bytesOf(10)])
      for (const name of ['missing', 'there', 'there/missing', 'there/object/missing', 'nowhere/at/all']) {
        await rejects(store.get(name), 'E_OBJECT_MISSING')
        await rejects(store.get(name, { offset: 0, length: 1 }), 'E_OBJECT_MISSING')
        assert.equal(await store.head(name), undefined)
      }
    })
  })

  describe('whole objects', () => {
    test('are given up to the length that they can have', async () => {
      const { store } = await open()
      const bytes = bytesOf(100_000)
      await store.put('object', [bytes])
      await store.put('empty', [])
      assert.deepEqual(await store.get('object', { bytesMax: 100_000 }), bytes)
      assert.deepEqual(await store.get('object', { bytesMax: Number.MAX_SAFE_INTEGER }), bytes)
      assert.equal((await store.get('empty', { bytesMax: 0 })).byteLength, 0)
      for (const bytesMax of [99_999, 1, 0]) {
        await assert.rejects(store.get('object', { bytesMax }), (error: unknown) => {
          assert.ok(hasCode(error, 'E_FORMAT_DAMAGED'))
          assert.deepEqual(error.details, { object: 'object', bytesMax, sizeBytes: 100_000 })
          return true
        })
      }
      await rejects(store.get('missing', { bytesMax: 1 }), 'E_OBJECT_MISSING')
      // The connection is of use to others afterwards.
      assert.deepEqual(await store.get('object'), bytes)
    })
  })

  describe('ranges', () => {
    test('give exactly the bytes asked for', async () => {
      const { store } = await open()
      const bytes = bytesOf(100_003)
      await store.put('object', [bytes])
      const range = fc
        .nat(bytes.byteLength - 1)
        .chain((offset) =>
          fc.record({ offset: fc.constant(offset), length: fc.integer({ min: 1, max: bytes.byteLength - offset }) }),
        )
      const odd = [
        { offset: 0, length: 1 },
        { offset: 100_002, length: 1 },
        { offset: 0, length: 100_003 },
        { offset: 65_535, length: 2 },
      ]
      await fc.assert(
        fc.asyncProperty(range, async ({ offset, length }) => {
          assert.deepEqual(await store.get('object', { offset, length }), bytes.slice(offset, offset + length))
        }),
        { numRuns: 50, examples: odd.map((one) => [one]) },
      )
    })

    test('that pass the end are refused', async () => {
      const { store } = await open()
      await store.put('object', [bytesOf(1000)])
      const past = [
        { offset: 999, length: 2 },
        { offset: 0, length: 1001 },
        { offset: 1000, length: 1 },
        { offset: 5_000_000_000, length: 10 },
        { offset: 0, length: 2 ** 50 },
      ]
      for (const range of past) await rejects(store.get('object', range), 'E_OBJECT_TRUNCATED')
    })

    test('that no object could have are a bug', async () => {
      const { store } = await open()
      await store.put('object', [bytesOf(10)])
      const impossible = [
        { offset: 0, length: 0 },
        { offset: -1, length: 5 },
        { offset: 0.5, length: 1 },
        { offset: 1, length: Number.NaN },
        { offset: Number.MAX_SAFE_INTEGER, length: 1 },
      ]
      for (const range of impossible) await rejects(store.get('object', range), 'E_BUG')
    })
  })

  describe('create if absent', () => {
    test('creates once and then changes nothing', async () => {
      const { store } = await open()
      const first = bytesOf(500)
      await store.put('object', [first], { ifAbsent: true })
      await rejects(store.put('object', [bytesOf(500)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      await rejects(store.put('object', [], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      await rejects(store.put('object', [bytesOf(3 * MiB)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      assert.deepEqual(await store.get('object'), first)
    })

    test('refuses what a plain put has made, and works again after a delete', async () => {
      const { store } = await open()
      await store.put('object', [bytesOf(5)])
      await rejects(store.put('object', [bytesOf(5)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      await store.delete('object')
      const again = bytesOf(6)
      await store.put('object', [again], { ifAbsent: true })
      assert.deepEqual(await store.get('object'), again)
    })

    test(`has exactly one winner among ${String(raceWriters)} writers of each of ${String(raceKeys)} names`, async () => {
      const { store } = await open()
      const names = Array.from({ length: raceKeys }, (_, index) => `race/${String(index % 7)}/${String(index)}`)
      const race = async (name: string): Promise<void> => {
        const contents = Array.from({ length: raceWriters }, () => bytesOf(64))
        const puts = contents.map(async (content) => {
          await store.put(name, [content], { ifAbsent: true })
        })
        const outcomes = await Promise.allSettled(puts)
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected')
            assert.ok(hasCode(outcome.reason, 'E_OBJECT_EXISTS'), String(outcome.reason))
        }
        const winners = contents.filter((_, index) => outcomes[index]?.status === 'fulfilled')
        assert.equal(winners.length, 1)
        assert.deepEqual(await store.get(name), winners[0])
      }
      await Promise.all(names.map(race))
    })

    test('passes the probe, which leaves nothing behind', async () => {
      const { store } = await open()
      await probeCreateIfAbsent(store, systemRandomBytes)
      assert.deepEqual(await namesIn(store, ''), [])
    })
  })

  describe('head and delete', () => {
    test('head knows size and time', async () => {
      const { store } = await open()
      const beforeMs = await store.now()
      await store.put('a/object', [bytesOf(4321)])
      const info = await store.head('a/object')
      assert.equal(info?.name, 'a/object')
      assert.equal(info.sizeBytes, 4321)
      assertNear(info.modifiedMs, beforeMs)
    })

    test('delete removes, also what is not there', async () => {
      const { store } = await open()
      await store.put('dir/object', [bytesOf(1)])
      await store.put('dir/other', [bytesOf(1)])
      await store.delete('dir/object')
      await rejects(store.get('dir/object'), 'E_OBJECT_MISSING')
      assert.equal(await store.head('dir/object'), undefined)
      assert.deepEqual(await namesIn(store, ''), ['dir/other'])
      for (const name of ['dir/object', 'dir', 'dir/other/object', 'never/was']) await store.delete(name)
      assert.deepEqual(await namesIn(store, ''), ['dir/other'])
    })

    test('a name that was a directory can be an object when the directory is empty', async () => {
      const { store } = await open()
      await store.put('x/y/z', [bytesOf(1)])
      await store.delete('x/y/z')
      await store.put('x', [bytesOf(2)], { ifAbsent: true })
      assert.deepEqual(await namesIn(store, ''), ['x'])
    })

    test('creating and deleting in one directory at the same time lose nothing', async () => {
      const { store } = await open()
      const worker = async (index: number): Promise<void> => {
        for (let round = 0; round < 20; round += 1) {
          const name = `busy/place/${String(index)}`
          await store.put(name, [bytesOf(8)], { ifAbsent: round % 2 === 0 })
          assert.equal((await store.get(name)).byteLength, 8)
          await store.delete(name)
        }
      }
      await Promise.all([0, 1, 2, 3].map(worker))
      assert.deepEqual(await namesIn(store, ''), [])
    })
  })

  const unfinished = async (): Promise<readonly string[]> => (await underTest.unfinished?.()) ?? []
  describeCompose({ open, unfinished })
  describeTags(open)

  describe('list', () => {
    // In byte order: '-' and '.' come before '/', digits and '_' after it.
    const names = ['a-/q', 'a-b', 'a.b/c', 'a/-', 'a/b/c', 'a/b/d', 'a/b0', 'a0', 'a_', 'b', 'b.', 'b0/x/y/z', '..z']
    const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

    test('is in ascending order of the bytes, with sizes and times', async () => {
      const { store } = await open()
      const beforeMs = await store.now()
      for (const [index, name] of names.entries()) await store.put(name, [bytesOf(index)])
      const infos = await infosIn(store, '')
      assert.deepEqual(
        infos.map((info) => info.name),
        sorted,
      )
      for (const info of infos) {
        assert.equal(info.sizeBytes, names.indexOf(info.name))
        assertNear(info.modifiedMs, beforeMs)
      }
    })

    test('takes any prefix and any name to start after', async () => {
      const { store } = await open()
      for (const name of names) await store.put(name, [])
      const prefixes = ['', 'a', 'a-', 'a/', 'a/b', 'a/b/', 'a/b/c', 'b0/x', 'b0/x/', '..', '.', 'nothing', 'no/thing/']
      const starts = [undefined, '', 'a', 'a-/q', 'a.b', 'a/b', 'a/b/c', 'a/b/zzz', 'a0', 'zzz', 'b0/x/y', '-']
      for (const prefix of prefixes) {
        for (const startAfter of starts) {
          const expected = sorted.filter((name) => name.startsWith(prefix) && name > (startAfter ?? ''))
          assert.deepEqual(await namesIn(store, prefix, startAfter), expected, `${prefix} after ${String(startAfter)}`)
        }
      }
    })

    test('goes over many pages, without gaps or repeats', async () => {
      const { store, metrics } = await open()
      const many = Array.from({ length: listedObjects }, (_, index) => `many/${String(index % 3)}/${String(index * 7)}`)
      await atOnce(many, 32, async (name) => {
        await store.put(name, [])
      })
      const expected = many.toSorted()
      assert.deepEqual(await namesIn(store, ''), expected)
      assert.deepEqual(
        await namesIn(store, 'many/1'),
        expected.filter((name) => name.startsWith('many/1')),
      )
      const middle = expected[1200] ?? ''
      assert.deepEqual(await namesIn(store, 'many/', middle), expected.slice(1201))
      assert.ok(metrics.totals().byKind.list.requests >= 3)
    })

    test('fetches pages as they are consumed', async () => {
      const { store, metrics } = await open()
      for (const name of ['a/1', 'b/1', 'c/1']) await store.put(name, [])
      for await (const info of store.list('')) {
        assert.equal(info.name, 'a/1')
        break
      }
      assert.ok(metrics.totals().byKind.list.requests <= 2)
    })
  })

  describe('listDirectories', () => {
    const names = ['a', 'b-/q', 'b.b/c', 'b/-', 'b/b/c', 'b/b/d', 'b/b0', 'b0/x/y/z', 'b_/c', '..z/a', 'c/a/1', 'c/a/2']

    test('gives the directories of one level, each once, in ascending order', async () => {
      const { store } = await open()
      for (const name of names) await store.put(name, [])
      const levels: Readonly<Record<string, string[]>> = {
        '': ['..z/', 'b-/', 'b.b/', 'b/', 'b0/', 'b_/', 'c/'],
        'b/': ['b/b/'],
        'b/b/': [],
        'b0/': ['b0/x/'],
        'b0/x/': ['b0/x/y/'],
        'c/': ['c/a/'],
        'nothing/': [],
        'a/': [],
      }
      for (const [prefix, expected] of Object.entries(levels)) {
        assert.deepEqual(await directoriesIn(store, prefix), expected, prefix)
        for (const startAfter of [
          '',
          '..z/',
          'b',
          'b-/',
          'b/',
          'b/b/c',
          'b0',
          'b0/x',
          'b0/x/',
          'c/a/1',
          'c/a/9',
          'z',
        ]) {
          const rest = expected.filter((directory) => directory > startAfter)
          assert.deepEqual(await directoriesIn(store, prefix, startAfter), rest, `${prefix} after ${startAfter}`)
        }
      }
      await store.delete('b0/x/y/z')
      assert.deepEqual(await directoriesIn(store, 'b0/'), [])
    })

    test('costs what lies on that level, over many pages, however much lies deeper', async () => {
      const { store, metrics } = await open()
      // Two pages of directories, and three if their objects were listed.
      const many = Array.from({ length: 1020 }, (_, index) => `many/${String(index * 7)}/`)
      const objects = many.flatMap((directory, index) =>
        Array.from({ length: index === 0 ? 1000 : 1 }, (_, object) => `${directory}deeper/${String(object)}`),
      )
      await atOnce([...objects, 'many/object'], 32, async (name) => {
        await store.put(name, [])
      })
      const expected = many.toSorted()
      const before = metrics.totals().byKind.list.requests
      assert.deepEqual(await directoriesIn(store, 'many/'), expected)
      assert.ok(metrics.totals().byKind.list.requests - before <= 2)
      assert.deepEqual(await directoriesIn(store, 'many/', expected[1010]), expected.slice(1011))
    })

    test('is asked for a directory', async () => {
      const { store, metrics } = await open()
      for (const prefix of ['a', 'a/b', '/', 'A/', '../']) await rejects(directoriesIn(store, prefix), 'E_OBJECT_NAME')
      assert.equal(metrics.totals().requests, 0)
    })
  })

  describe('names', () => {
    const part255 = 'p'.repeat(255)
    const name900 = [part255, part255, part255, 'x'.repeat(132)].join('/')

    test('of every allowed form work', async () => {
      const { store } = await open()
      const good = ['a', '0', '.a', '..a', 'a..', '-', '_', '...', 'a.b-c_d/0', name900]
      for (const name of good) await store.put(name, [Buffer.from(name)])
      for (const name of good) assert.equal(Buffer.from(await store.get(name)).toString(), name)
      assert.deepEqual(await namesIn(store, ''), good.toSorted())
    })

    test('of any other form are refused before any request', async () => {
      const { store, metrics } = await open()
      const slashes = ['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/../b', '../a', './a', 'a/.', 'a/..']
      const characters = ['A', 'a b', 'ä', 'a\\b', 'a\0b', 'a\n', '\na', 'a%2f', '~writing/x', 'a:b', '\u{1f4be}']
      const lengths = [`${name900}x`, 'p'.repeat(256), `a/${'p'.repeat(256)}/b`]
      for (const name of [...slashes, ...characters, ...lengths]) {
        await rejects(store.put(name, [bytesOf(1)]), 'E_OBJECT_NAME')
        await rejects(store.put(name, [bytesOf(1)], { ifAbsent: true }), 'E_OBJECT_NAME')
        await rejects(store.get(name), 'E_OBJECT_NAME')
        await rejects(store.head(name), 'E_OBJECT_NAME')
        await rejects(store.delete(name), 'E_OBJECT_NAME')
      }
      for (const prefix of ['/', '/a', 'a//', 'A', 'a/../', './', '../a', 'a b', 'x'.repeat(901)]) {
        await rejects(namesIn(store, prefix), 'E_OBJECT_NAME')
        await rejects(namesIn(store, '', prefix), 'E_OBJECT_NAME')
      }
      assert.equal(metrics.totals().requests, 0)
    })
  })

  describe('a bucket shared by two stores', () => {
    test('shows each its own objects only', async () => {
      const { store: short } = await open('shared')
      const { store: long } = await open('shared-more')
      await short.put('object', [Buffer.from('short')])
      await long.put('object', [Buffer.from('long')])
      await long.put('other', [Buffer.from('long')], { ifAbsent: true })
      assert.deepEqual(await namesIn(short, ''), ['object'])
      assert.deepEqual(await namesIn(long, ''), ['object', 'other'])
      await short.put('other', [Buffer.from('short')], { ifAbsent: true })
      await long.delete('object')
      assert.equal(Buffer.from(await short.get('object')).toString(), 'short')
      assert.equal(Buffer.from(await long.get('other')).toString(), 'long')
    })

    test('shows the same objects to two stores of the same place at once', async () => {
      const { store: one } = await open('same')
      const { store: two } = await open('same')
      await one.put('object', [Buffer.from('1')])
      assert.equal(Buffer.from(await two.get('object')).toString(), '1')
      await rejects(two.put('object', [Buffer.from('2')], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      await two.delete('object')
      assert.equal(await one.head('object'), undefined)
      assert.deepEqual(await namesIn(one, ''), [])
    })
  })

  test('now is the time at the store', async () => {
    const { store } = await open()
    assertNear(await store.now(), systemClock.nowMs())
    assertNear(await store.now(), systemClock.nowMs())
  })

  test('every request is counted with its bytes, and told with its name', async () => {
    const { store, metrics, told } = await open()
    await store.put('a', [bytesOf(100), bytesOf(11)])
    await store.get('a')
    await store.get('a', { offset: 1, length: 10 })
    await store.head('a')
    await rejects(store.put('a', [bytesOf(7)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
    await rejects(store.get('a', { offset: 200, length: 10 }), 'E_OBJECT_TRUNCATED')
    await store.delete('a')
    assert.deepEqual(await namesIn(store, 'p'), [])
    const { byKind } = metrics.totals()
    assert.deepEqual(byKind.put, { requests: 2, bytesSent: 111, bytesReceived: 0 })
    assert.deepEqual(byKind.get, { requests: 3, bytesSent: 0, bytesReceived: 121 })
    assert.deepEqual(byKind.head, { requests: 1, bytesSent: 0, bytesReceived: 0 })
    assert.deepEqual(byKind.delete, { requests: 1, bytesSent: 0, bytesReceived: 0 })
    // Some ask about the whole store, too.
    const named = told.filter((request) => !request.endsWith(' '))
    assert.deepEqual(named, ['put a', 'get a', 'get a', 'head a', 'put a', 'get a', 'delete a', 'list p'])
  })

  test('it behaves as the model does, whatever is done in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(modelStep, { maxLength: 25 }), async (steps) => {
        const { store } = await open()
        const model = new MemoryStore({ clock: systemClock })
        for (const step of steps) assert.deepEqual(await outcome(store, step), await outcome(model, step))
      }),
      { numRuns: 15 },
    )
  })

  if (!hasBuckets) return
  test('a bucket that is not there is told from a missing object', async () => {
    const store = await underTest.openMissing()
    await rejects(store.put('a/b', [bytesOf(1)]), 'E_STORE_MISSING')
    await rejects(store.put('a', [bytesOf(1)], { ifAbsent: true }), 'E_STORE_MISSING')
    const range = { source: 'b', offset: 0, length: store.copying?.rangeBytesMin ?? 0 }
    await rejects(store.compose('a', [range], [bytesOf(1)]), 'E_STORE_MISSING')
    await rejects(store.get('a'), 'E_STORE_MISSING')
    await rejects(store.head('a/b'), 'E_STORE_MISSING')
    await rejects(namesIn(store, 'a'), 'E_STORE_MISSING')
    await rejects(directoriesIn(store, 'a/'), 'E_STORE_MISSING')
    await rejects(store.setTags('a', { b: 'c' }), 'E_STORE_MISSING')
    await rejects(store.tags('a'), 'E_STORE_MISSING')
    await rejects(store.delete('a'), 'E_STORE_MISSING')
    await store.close()
    // Any answer says what time it is; a store that has had none must ask.
    const other = await underTest.openMissing()
    await rejects(other.now(), 'E_STORE_MISSING')
    await other.close()
  })
}

// ── the model ──────────────────────────────────────────────────────────────────────────────────────────────────────

type ModelStep =
  | { readonly kind: 'put' | 'create'; readonly name: string; readonly content: string }
  | { readonly kind: 'get'; readonly name: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'head' | 'delete'; readonly name: string }
  | { readonly kind: 'list' | 'list directories'; readonly prefix: string; readonly startAfter: string }

// No name is the directory of another: S3 and Azure do not notice.
const modelName = fc.constantFrom('a', 'b/a', 'b/a-', 'b/c/a', 'b-', 'b.c/a', 'c/0')
const modelPrefix = fc.constantFrom('', 'a', 'b', 'b/', 'b/a', 'b/c/', 'c/0')
const modelStep: fc.Arbitrary<ModelStep> = fc.oneof(
  fc.record({ kind: fc.constantFrom('put' as const, 'create' as const), name: modelName, content: fc.string() }),
  fc.record({
    kind: fc.constant('get' as const),
    name: modelName,
    offset: fc.nat(9),
    length: fc.integer({ min: 1, max: 9 }),
  }),
  fc.record({ kind: fc.constantFrom('head' as const, 'delete' as const), name: modelName }),
  fc.record({ kind: fc.constant('list' as const), prefix: modelPrefix, startAfter: fc.oneof(modelPrefix, modelName) }),
  fc.record({
    kind: fc.constant('list directories' as const),
    prefix: fc.constantFrom('', 'b/', 'b/c/', 'c/'),
    startAfter: fc.oneof(modelPrefix, modelName),
  }),
)

/** What a step answers, without what differs between stores: times. */
async function outcome(store: ObjectStore, step: ModelStep): Promise<unknown> {
  try {
    return await perform(store, step)
  } catch (error) {
    return (error as { code?: unknown }).code ?? error
  }
}

async function perform(store: ObjectStore, step: ModelStep): Promise<unknown> {
  switch (step.kind) {
    case 'put':
    case 'create':
      await store.put(step.name, [Buffer.from(step.content)], { ifAbsent: step.kind === 'create' })
      return 'done'
    case 'get':
      return Buffer.from(await store.get(step.name, { offset: step.offset, length: step.length })).toString('hex')
    case 'head':
      return (await store.head(step.name))?.sizeBytes
    case 'delete':
      await store.delete(step.name)
      return 'done'
    case 'list':
      return (await infosIn(store, step.prefix, step.startAfter)).map(({ name, sizeBytes }) => ({ name, sizeBytes }))
    case 'list directories':
      return await directoriesIn(store, step.prefix, step.startAfter)
  }
}

// ── small things ───────────────────────────────────────────────────────────────────────────────────────────────────

async function directoriesIn(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  return await Array.fromAsync(store.listDirectories(prefix, startAfter === undefined ? {} : { startAfter }))
}

/** The servers run on this machine: their clocks are ours, but for the seconds that HTTP dates leave out. */
function assertNear(actualMs: number, expectedMs: number): void {
  const toleranceMs = 120_000
  assert.ok(Math.abs(actualMs - expectedMs) < toleranceMs, `${String(actualMs)} is not near ${String(expectedMs)}`)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
