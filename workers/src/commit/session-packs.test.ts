import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '@strata/shared/errors.ts'
import { packName, type PackReference } from '@strata/shared/format/names.ts'
import { encodePackTail, packKinds, packVersion, sealDataFooter } from '@strata/shared/format/pack.ts'
import type { Session } from '@strata/shared/format/session.ts'
import { footerEntriesMax, keysPerRootMax, pageEntriesMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import type { BlockChange } from '@strata/shared/repository/map-writer.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { testDigest } from '@strata/shared/testing/test-map.ts'
import { makeTestRepository, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'
import { testDataKey, TestSession, type TestBlock } from '../testing/test-session.ts'
import { PointKeys } from './point-keys.ts'
import { SessionPacks } from './session-packs.ts'

const low = '1111111111111111'
const high = 'eeeeeeeeeeeeeeee'

async function openSession(
  diskBlocks: readonly number[] = [5 * pageEntriesMax],
): Promise<{ test: TestRepository; session: TestSession }> {
  const test = makeTestRepository()
  return { test, session: await new TestSession({ repository: test.repository, number: 1, diskBlocks }).open() }
}

function choose(
  { test, session }: { test: TestRepository; session: TestSession },
  segments: number,
  keys = new PointKeys([]),
): Promise<SessionPacks> {
  return SessionPacks.choose(test.repository, session.place, session.document, segments, keys)
}

async function changesOf(packs: SessionPacks, disk = 0): Promise<BlockChange[]> {
  const changes: BlockChange[] = []
  let lastPage = -1
  for await (const { page, changes: ofPage } of packs.changesOf(disk)) {
    assert.ok(page > lastPage, 'each page comes once, in ascending order')
    lastPage = page
    for (const change of ofPage) {
      assert.equal(Math.floor(change.block / pageEntriesMax), page)
      assert.ok(change.block > (changes.at(-1)?.block ?? -1), 'blocks ascend')
      changes.push(change)
    }
  }
  return changes
}

function contentOf(change: BlockChange, contents: readonly string[]): string {
  if (change.state !== 'record') return change.state
  return contents.find((content) => Buffer.from(testDigest(content)).equals(change.digest)) ?? 'unknown'
}

test('of several whole attempts at one segment one is taken', async () => {
  const made = await openSession()
  await made.session.pack(0, [{ block: 1, content: 'x' }], { attempt: low })
  await made.session.pack(0, [{ block: 1, content: 'x' }], { attempt: high })
  const [change] = await changesOf(await choose(made, 1))
  assert.ok(change?.state === 'record')
  assert.ok([low, high].includes(change.place.pack.attempt))
})

test('one listing and one request for each segment, however many attempts there are', async () => {
  const made = await openSession()
  for (const segment of [0, 1, 2]) {
    for (const attempt of [low, high]) await made.session.pack(segment, [{ block: segment, content: 'x' }], { attempt })
  }
  const before = made.test.requests.length
  await choose(made, 3)
  const kinds = made.test.requests.slice(before).map(({ kind }) => kind)
  assert.deepEqual(kinds.sort(), ['get', 'get', 'get', 'list'])
})

test('a footer that is longer than what is read at first takes a second request', async () => {
  const made = await openSession([2 * footerEntriesMax])
  const blocks = Array.from({ length: footerEntriesMax }, (_, block): TestBlock => ({ block, content: 'zero' }))
  await made.session.pack(0, blocks)
  const before = made.test.requests.length
  const packs = await choose(made, 1)
  assert.deepEqual(
    made.test.requests.slice(before).map(({ kind }) => kind),
    ['list', 'get', 'get'],
  )
  assert.equal((await changesOf(packs)).length, footerEntriesMax)
})

/** A store that lets each read wait until no other is begun, and says how many were under way at most. */
class SlowReads {
  readonly repository: Repository
  peak = 0
  reads = 0
  underWay = 0

  constructor({ store, repository }: TestRepository) {
    const slow = storeWith(store, {
      get: async (name, range) => {
        this.reads += 1
        this.underWay += 1
        this.peak = Math.max(this.peak, this.underWay)
        for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate)
        this.underWay -= 1
        return store.get(name, range)
      },
    })
    this.repository = new Repository(slow, repository.ingestKeys, (count) => repository.random(count))
  }
}

test('pack ends that were not kept are read ahead, several at a time, and as many as may be', async () => {
  const segments = 3 * storeRequestsInFlightMax
  const made = await openSession([segments * pageEntriesMax])
  // Sent from the end of the disk to its beginning, so that the order of segments is not that of blocks.
  for (let segment = 0; segment < segments; segment += 1) {
    const block = (segments - segment - 1) * pageEntriesMax
    await made.session.pack(segment, [{ block, content: `of ${String(segment)}` }])
  }
  const slow = new SlowReads(made.test)
  const { place, document } = made.session
  const packs = await SessionPacks.choose(slow.repository, place, document, segments, new PointKeys([]), 0)
  const before = slow.reads
  slow.peak = 0
  const changes = await changesOf(packs)
  assert.deepEqual(
    changes.map(({ block }) => block),
    Array.from({ length: segments }, (_, page) => page * pageEntriesMax),
  )
  assert.deepEqual([slow.reads - before, slow.peak], [segments, storeRequestsInFlightMax])
})

test('whoever takes no more changes leaves no read under way', async () => {
  const made = await openSession()
  for (const segment of [0, 1, 2]) await made.session.pack(segment, [{ block: segment * pageEntriesMax, content: 'x' }])
  const slow = new SlowReads(made.test)
  const { place, document } = made.session
  const packs = await SessionPacks.choose(slow.repository, place, document, 3, new PointKeys([]), 0)
  for await (const { page } of packs.changesOf(0)) {
    assert.equal(page, 0)
    break
  }
  assert.equal(slow.underWay, 0)
})

type Breaking = (test: TestRepository, session: TestSession, name: string) => Promise<void>

async function rewrite(test: TestRepository, name: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await test.store.put(name, [change(await test.store.get(name))])
}

const damages: Readonly<Record<string, Breaking>> = {
  'was cut at its end': (test, _, name) => rewrite(test, name, (bytes) => bytes.subarray(0, -1)),
  'was cut to some bytes': (test, _, name) => rewrite(test, name, (bytes) => bytes.subarray(0, 10)),
  'grew at its end': (test, _, name) => rewrite(test, name, (bytes) => Buffer.concat([bytes, new Uint8Array(8)])),
  'has a flipped bit in its trailer': (test, _, name) =>
    rewrite(test, name, (bytes) => flipped(bytes, bytes.length - 20)),
  'has a flipped bit in its footer': (test, _, name) =>
    rewrite(test, name, (bytes) => flipped(bytes, bytes.length - 40)),
  'is another object': (test, _, name) => rewrite(test, name, () => new Uint8Array(500).fill(0x53)),
  'is that of another segment': async (test, session, name) => {
    const other = await session.pack(7, [{ block: 1, content: 'other' }])
    const bytes = await test.store.get(other)
    await rewrite(test, name, () => bytes)
  },
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
}

for (const [what, breakIt] of Object.entries(damages)) {
  test(`an attempt that ${what} is passed over, and alone it counts as missing`, async () => {
    const made = await openSession()
    await breakIt(made.test, made.session, await made.session.pack(0, [{ block: 1, content: 'x' }], { attempt: low }))
    await assert.rejects(choose(made, 1), (error) => {
      assert.ok(hasCode(error, 'E_SEGMENTS_MISSING'))
      assert.deepEqual(error.details, { segments: [0] })
      return true
    })
    await made.session.pack(0, [{ block: 1, content: 'x' }], { attempt: high })
    const [change] = await changesOf(await choose(made, 1))
    assert.ok(change?.state === 'record')
    assert.equal(change.place.pack.attempt, high)
  })
}

test('an attempt that speaks of what the session does not have is passed over', async () => {
  const made = await openSession([10])
  const wrong = [
    made.session.pack(0, [{ block: 1, content: 'x' }], { disk: 1 }),
    made.session.pack(1, [{ block: 10, content: 'x' }]),
    made.session.pack(2, [{ block: 1, content: 'x' }], { footerSegment: 1 }),
  ]
  await Promise.all(wrong)
  await assert.rejects(choose(made, 3), (error) => {
    assert.ok(hasCode(error, 'E_SEGMENTS_MISSING'))
    assert.deepEqual(error.details, { segments: [0, 1, 2] })
    return true
  })
})

test('the data keys of the packs that are taken come in the order of their segments, each once', async () => {
  const made = await openSession()
  const { session } = made
  const one = (content: string): TestBlock[] => [{ block: 1, content }]
  await session.pack(0, one('a'), { worker: 'second' })
  await session.pack(1, one('zero'), { worker: 'without records' })
  await session.pack(2, one('b'), { worker: 'first' })
  await session.pack(3, one('c'), { worker: 'of the base' })
  await session.pack(4, one('d'), { worker: 'second' })
  await session.pack(5, one('e'), { worker: 'not counted' })
  await session.pack(0, one('a'), { attempt: high, worker: 'not taken' })
  const keys = new PointKeys([testDataKey('of the base'), testDataKey('of another point')])
  await choose(made, 5, keys)
  assert.deepEqual(keys.added, [testDataKey('second'), testDataKey('first')])
})

test('an attempt whose key has the id of another one is passed over, and alone it counts as missing', async () => {
  const x = [{ block: 1, content: 'x' }]
  const otherWrap = { worker: 'worker', wrap: 'another' }
  for (const ofBase of [[], [testDataKey('worker')]]) {
    const made = await openSession()
    if (ofBase.length === 0) await made.session.pack(0, x, { worker: 'worker' })
    else await made.session.pack(0, x)
    await made.session.pack(1, x, { attempt: low, ...otherWrap })
    await assert.rejects(choose(made, 2, new PointKeys(ofBase)), (error) => {
      assert.ok(hasCode(error, 'E_SEGMENTS_MISSING'))
      assert.deepEqual(error.details, { segments: [1] })
      return true
    })
    await made.session.pack(1, x, { attempt: high, worker: 'a third' })
    const keys = new PointKeys(ofBase)
    const [change] = await changesOf(await choose(made, 2, keys))
    assert.ok(change?.state === 'record')
    assert.equal(change.place.pack.attempt, high)
    assert.deepEqual(keys.added.at(-1), testDataKey('a third'))
  }
})

test('a session that was served by more workers than a root has room for ends with a limit', async () => {
  const made = await openSession()
  const ofBase = Array.from({ length: keysPerRootMax - 1 }, (_, number) => testDataKey(String(number)))
  await made.session.pack(0, [{ block: 1, content: 'x' }], { worker: 'the last one' })
  await made.session.pack(1, [{ block: 2, content: 'y' }], { worker: 'one too many' })
  await choose(made, 1, new PointKeys(ofBase))
  await assert.rejects(choose(made, 2, new PointKeys(ofBase)), (error) => {
    assert.ok(hasCode(error, 'E_LIMIT'))
    assert.match(error.message, /more than 2048 data keys: 2047 of its base/)
    assert.match(error.hint, /--full/)
    return true
  })
})

test('an attempt that cannot be read for another reason ends the commit', async () => {
  const made = await openSession()
  const name = await made.session.pack(0, [{ block: 1, content: 'x' }])
  // The version lies in the trailer, whose checksum says nothing before the version is known.
  await rewrite(made.test, name, (bytes) =>
    bytes.map((byte, at) => (at === bytes.length - 26 ? packVersion + 1 : byte)),
  )
  await assert.rejects(choose(made, 1), { code: 'E_FORMAT_NEWER' })
})

test('only a copy has packs that name others, and only those that lie in its chain count', async () => {
  const { test: owner, session } = await openSession()
  const { repository, store } = owner
  const name = packName(session.place, 'data', { session: session.id, number: 0, attempt: '8000000000000000' })
  const other: PackReference = { session: asId<SessionId>('d'.repeat(32)), number: 7, attempt: '9000000000000000' }
  const place = { pack: other, offset: 10, length: 100 }
  const entries = [{ state: 'elsewhere', block: 1, digest: testDigest('x'), place, key: 0 } as const]
  const footer = { disk: 0, segment: 0, dataKeys: [testDataKey('a worker')], entries }
  const seal = sealDataFooter(name, footer, repository.indexKeys, repository.nonce())
  const pack = encodePackTail(packKinds.data, 0, [], seal)
  await store.put(name, [pack])
  const copyOf = {
    point: 'e'.repeat(32),
    sequence: 1,
    manifestDigest: 'f'.repeat(64),
    createdAt: '2026-01-01T00:00:00.000Z',
  }
  const copy: Session = { ...session.document, copyOf }
  const choosing = (document: Session): Promise<SessionPacks> =>
    SessionPacks.choose(repository, session.place, document, 1, new PointKeys([]))
  await assert.rejects(choosing(copy), { code: 'E_SEGMENTS_MISSING' })
  await store.put(packName(session.place, 'data', other), [new Uint8Array(500)])
  await assert.rejects(choosing(session.document), { code: 'E_SEGMENTS_MISSING' })
  const packs = await choosing(copy)
  assert.deepEqual(packs.references.at(-1), other)
  assert.equal(packs.storedBytes, pack.length + 500)
  const [change] = await changesOf(packs)
  assert.ok(change?.state === 'record')
  assert.deepEqual([change.block, change.place], [1, place])
})

test('what lies among the packs and is none is passed over', async () => {
  const made = await openSession()
  const place = { ...made.session.place }
  const name = `${packName(place, 'data', { session: made.session.id, number: 0, attempt: low })}.old`
  await made.test.store.put(name, [new Uint8Array(1)])
  assert.deepEqual(await changesOf(await choose(made, 0)), [])
})

test('packs of segments that the end does not count are left alone', async () => {
  const made = await openSession()
  await made.session.pack(0, [{ block: 1, content: 'x' }])
  await made.session.pack(1, [{ block: 2, content: 'y' }])
  assert.deepEqual(
    (await changesOf(await choose(made, 1))).map(({ block }) => block),
    [1],
  )
})

test('where segments overlap the highest number wins, whichever was written last', async () => {
  const made = await openSession()
  const { session } = made
  await session.pack(2, [
    { block: 5, content: 'zero' },
    { block: 6, content: 'base' },
    { block: 8, content: 'last' },
  ])
  await session.pack(0, [
    { block: 5, content: 'first' },
    { block: 6, content: 'first' },
    { block: 7, content: 'first' },
  ])
  await session.pack(1, [
    { block: 5, content: 'second' },
    { block: 7, content: 'second' },
    { block: 8, content: 'second' },
  ])
  const changes = await changesOf(await choose(made, 3))
  assert.deepEqual(
    changes.map((change) => [change.block, contentOf(change, ['first', 'second', 'last'])]),
    [
      [5, 'zero'],
      [6, 'base'],
      [7, 'second'],
      [8, 'last'],
    ],
  )
})

test('segments without blocks, and of other disks, change nothing on a disk', async () => {
  const made = await openSession([10, 10])
  await made.session.pack(0, [])
  await made.session.pack(1, [{ block: 1, content: 'x' }], { disk: 1 })
  const packs = await choose(made, 2)
  assert.deepEqual(await changesOf(packs, 0), [])
  assert.deepEqual(
    (await changesOf(packs, 1)).map(({ block }) => block),
    [1],
  )
})

test('property: any segments, overlapping as they like, give each block what its highest segment says', async () => {
  const block = fc.oneof(
    fc.constantFrom(0, 1023, 1024, 2047, 2048, 5 * pageEntriesMax - 1),
    fc.nat(5 * pageEntriesMax - 1),
  )
  const contents = ['p', 'q', 'r']
  const entry = fc.record({ block, content: fc.constantFrom('zero', 'base', ...contents) })
  const segment = fc.record({
    disk: fc.nat(1),
    blocks: fc.uniqueArray(entry, { selector: (one) => one.block, maxLength: 12 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(segment, { maxLength: 8 }), fc.nat(), async (segments, shuffle) => {
      const made = await openSession([5 * pageEntriesMax, 5 * pageEntriesMax])
      const order = segments
        .map((_, index) => index)
        .sort((x, y) => ((x * 7 + shuffle) % 11) - ((y * 7 + shuffle) % 11))
      for (const number of order) {
        const { disk, blocks } = segments[number] ?? assert.fail()
        await made.session.pack(
          number,
          blocks.toSorted((x, y) => x.block - y.block),
          { disk },
        )
      }
      const packs = await choose(made, segments.length)
      for (const disk of [0, 1]) {
        const model = new Map<number, string>()
        for (const each of segments) {
          if (each.disk !== disk) continue
          for (const one of each.blocks) model.set(one.block, one.content)
        }
        const found = (await changesOf(packs, disk)).map(
          (change) => [change.block, contentOf(change, contents)] as const,
        )
        assert.deepEqual(
          found,
          [...model].sort(([x], [y]) => x - y),
        )
      }
    }),
    { numRuns: 60 },
  )
})
