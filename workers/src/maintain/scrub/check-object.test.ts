import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { chainObjectOf, packName, type ChainPlace } from '@strata/shared/format/names.ts'
import { encodePackTail, packKinds, sealDataFooter, type Piece } from '@strata/shared/format/pack.ts'
import { sealedHash } from '@strata/shared/format/digest.ts'
import { readBytesMax } from '@strata/shared/limits.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { testDigest } from '@strata/shared/testing/test-map.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { testDataKey, TestSession } from '../../testing/test-session.ts'
import { ObjectChecker, type BadRange } from './check-object.ts'
import { PiecePool } from './piece-pool.ts'

const pool = new PiecePool()
after(() => pool[Symbol.asyncDispose]())

const pieceBytes = 2 ** 20
const pieceCount = 20

/** A pack of several reads, and where its pieces are. */
async function largePack() {
  const { repository, store } = makeTestRepository()
  const session = new TestSession({ repository, number: 1 })
  const place: ChainPlace = session.place
  const name = packName(place, 'data', { session: session.id, number: 0, attempt: '9000000000000000' })
  const pieces: Piece[] = []
  const records = Array.from({ length: pieceCount }, (_, index) => {
    const record = Buffer.alloc(pieceBytes, `record ${String(index)}, `)
    pieces.push({ offset: index * pieceBytes, length: pieceBytes, hash: sealedHash(record) })
    return record
  })
  const entries = pieces.map((_, index) => ({
    state: 'record' as const,
    block: index,
    digest: testDigest(String(index)),
    piece: index,
    key: 0,
  }))
  const footer = { disk: 0, segment: 0, dataKeys: [testDataKey('worker')], entries }
  const seal = sealDataFooter(name, footer, repository.indexKeys, repository.nonce())
  const tail = encodePackTail(packKinds.data, pieceCount * pieceBytes, pieces, seal)
  await store.put(name, [...records, tail])
  const check = async (of = repository): Promise<BadRange[]> => {
    const info = await of.store.head(name)
    const parsed = chainObjectOf(place, name) ?? assert.fail()
    return await new ObjectChecker(of, pool).check({ ...parsed, name, sizeBytes: info?.sizeBytes ?? 0 })
  }
  const flip = async (at: number): Promise<void> => {
    const bytes = await store.get(name)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await store.put(name, [bytes])
  }
  return { repository, store, name, check, flip }
}

test('each bad piece of a large pack is named, wherever it lies, and no other', async () => {
  const { check, flip } = await largePack()
  assert.deepEqual(await check(), [])
  for (const piece of [0, 7, pieceCount - 1]) await flip(piece * pieceBytes + 12_345)
  assert.deepEqual(
    (await check()).map(({ offset, length }) => [offset / pieceBytes, length]).sort(),
    [0, 19, 7].map((piece) => [piece, pieceBytes]),
  )
})

test('what was bad only on its way is not bad', async () => {
  const { repository, store, check } = await largePack()
  let isSpoilt = false
  const shaky = storeWith(store, {
    get: async (name, range) => {
      const bytes = await store.get(name, range)
      if (!isSpoilt && bytes.length > readBytesMax / 2) {
        isSpoilt = true
        bytes[1000] = (bytes[1000] ?? 0) ^ 1
      }
      return bytes
    },
  })
  assert.deepEqual(await check(new Repository(shaky, repository.ingestKeys, (count) => repository.random(count))), [])
  assert.ok(isSpoilt)
})

test('one request for each of its reads', async () => {
  const { repository, store, check } = await largePack()
  let requests = 0
  const counted = storeWith(store, {
    get: (name, range) => {
      requests += 1
      return store.get(name, range)
    },
  })
  await check(new Repository(counted, repository.ingestKeys, (count) => repository.random(count)))
  assert.equal(requests, 3)
})

test('an end that is damaged, or is of another object, makes all of it bad', async () => {
  const { store, name, check, flip } = await largePack()
  const size = (await store.get(name)).length
  await flip(size - 20)
  assert.deepEqual(
    (await check()).map(({ offset, length }) => [offset, length]),
    [[0, size]],
  )
  await store.delete(name)
  assert.deepEqual(
    (await check()).map(({ offset }) => offset),
    [0],
  )
})
