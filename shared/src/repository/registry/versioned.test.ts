import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../../errors.ts'
import { encodeDocument } from '../../format/document.ts'
import { claimType, type claimSchema } from '../../format/endpoint.ts'
import { registryDocumentName } from '../../format/names.ts'
import type { Fitting } from '../../format/schema.ts'
import { storeWith } from '../../testing/store-with.ts'
import { makeTestRepository, seededRandom } from '../../testing/test-repository.ts'
import { Repository } from '../repository.ts'
import { Registry } from './registry.ts'
import { isUsable, VersionedDocuments } from './versioned.ts'

type Claim = Fitting<typeof claimSchema>

const id = (digit: string): string => digit.repeat(32)
const claim = (of: string, endpoint: string): Claim => ({ strata: 'claim', version: 1, claim: of, endpoint })

function makeClaims() {
  const made = makeTestRepository()
  const place = { tenant: made.repository.tenant, folder: claimType.folder }
  return {
    ...made,
    claims: new VersionedDocuments(made.repository, claimType),
    nameOf: (of: string, version: number) => registryDocumentName(place, of, version),
  }
}

test('a document is made once, changed by its next version, and the highest holds', async () => {
  const { claims } = makeClaims()
  assert.equal(await claims.latest(id('a')), undefined)
  const first = await claims.create(id('a'), claim(id('a'), id('1')))
  assert.deepEqual(first, { id: id('a'), version: 1, document: claim(id('a'), id('1')) })
  assert.deepEqual(await claims.latest(id('a')), first)
  const second = await claims.append(id('a'), 1, claim(id('a'), id('2')))
  assert.deepEqual([second.version, await claims.latest(id('a'))], [2, second])
  assert.deepEqual(await claims.latest(id('a'), first), second)
  assert.deepEqual(await claims.read(id('a'), 1), first)
  assert.equal(await claims.latest(id('b')), undefined)
})

test('property: of all who change one version one succeeds, and no change is lost', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 }), async (rounds) => {
      const { claims } = makeClaims()
      let version = 0
      for (const writers of rounds) {
        const tried = await Promise.allSettled(
          Array.from({ length: writers }, (_, n) => claims.append(id('a'), version, claim(id('a'), id(String(n))))),
        )
        const won = tried.filter((one) => one.status === 'fulfilled').map(({ value }) => value)
        const lost = tried.filter((one) => one.status === 'rejected').map(({ reason }) => reason as unknown)
        assert.equal(won.length, 1)
        for (const error of lost) assert.ok(hasCode(error, 'E_REGISTRY_CONFLICT'))
        version += 1
        assert.deepEqual(await claims.latest(id('a')), won[0])
      }
    }),
    { numRuns: 30 },
  )
})

test('nothing is appended to a version that is not there', async () => {
  const { claims } = makeClaims()
  await assert.rejects(claims.append(id('a'), 1, claim(id('a'), id('1'))), { code: 'E_HISTORY_BROKEN' })
  assert.equal(await claims.newestVersion(id('a')), 0)
})

test("a stranger's id costs one request and no listing; a known version that holds costs one as well", async () => {
  const { claims, requests } = makeClaims()
  await claims.latest(id('f'))
  assert.deepEqual(
    requests.splice(0).map(({ kind }) => kind),
    ['get'],
  )
  let last = await claims.create(id('a'), claim(id('a'), id('1')))
  for (let n = 2; n <= 40; n += 1) last = await claims.append(id('a'), last.version, claim(id('a'), id('1')))
  requests.length = 0
  assert.deepEqual(await claims.latest(id('a'), last), last)
  assert.deepEqual(
    requests.splice(0).map(({ kind }) => kind),
    ['get'],
  )
  // From nothing: the first, one listing, the last; however many there are.
  assert.deepEqual(await claims.latest(id('a')), last)
  assert.deepEqual(
    requests.map(({ kind }) => kind),
    ['get', 'list', 'get'],
  )
})

test('all are listed as they hold, by one listing and one request each', async () => {
  const { claims, requests } = makeClaims()
  for (let n = 0; n < 50; n += 1) {
    const of = n.toString(16).padStart(32, '0')
    for (let version = 0; version <= n % 3; version += 1)
      await claims.append(of, version, claim(of, id(String(version))))
  }
  requests.length = 0
  const all = await Array.fromAsync(claims.list())
  assert.equal(all.length, 50)
  for (const [n, one] of all.entries()) assert.ok(isUsable(one) && one.version === (n % 3) + 1)
  assert.deepEqual([requests.length, requests.filter(({ kind }) => kind === 'list').length], [51, 1])
})

test('what is damaged, or has versions missing, is named and hides no other', async () => {
  const { claims, store, nameOf } = makeClaims()
  for (const digit of ['a', 'b', 'c', 'd']) {
    const of = id(digit)
    for (const version of [0, 1, 2]) await claims.append(of, version, claim(of, id(String(version))))
  }
  const whole = await store.get(nameOf(id('b'), 3))
  await store.put(nameOf(id('b'), 3), [whole.with(60, (whole[60] ?? 0) ^ 1)])
  await store.delete(nameOf(id('c'), 2))
  const all = await Array.fromAsync(claims.list())
  assert.deepEqual(
    all.map((one) => [one.id, isUsable(one) ? one.version : one.error.code]),
    [
      [id('a'), 3],
      [id('b'), 'E_SEAL_BROKEN'],
      [id('c'), 'E_HISTORY_BROKEN'],
      [id('d'), 3],
    ],
  )
  await assert.rejects(claims.latest(id('b')), { code: 'E_SEAL_BROKEN' })
  await assert.rejects(claims.latest(id('c')), { code: 'E_HISTORY_BROKEN' })
})

test('a store that fails is no damage: the list ends with its error', async () => {
  const { claims, repository, store, nameOf } = makeClaims()
  await claims.create(id('a'), claim(id('a'), id('1')))
  await store.delete(nameOf(id('a'), 1))
  const failing = storeWith(store, { list: () => listing([nameOf(id('a'), 1)]) })
  const broken = new VersionedDocuments(new Repository(failing, repository.ingestKeys, seededRandom('x')), claimType)
  // Listed, and gone when it is read.
  const [entry] = await Array.fromAsync(broken.list())
  assert.ok(entry !== undefined && !isUsable(entry) && entry.error.code === 'E_HISTORY_BROKEN')
  const denied = storeWith(failing, { get: () => Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' })) })
  const closed = new VersionedDocuments(new Repository(denied, repository.ingestKeys, seededRandom('x')), claimType)
  await assert.rejects(Array.fromAsync(closed.list()), /no/)
})

async function* listing(names: readonly string[]) {
  for (const name of names) yield await Promise.resolve({ name, sizeBytes: 1, modifiedMs: 0 })
}

test('a document in the place of another, or of another tenant, does not open', async () => {
  const { claims, store, nameOf, repository } = makeClaims()
  await claims.create(id('a'), claim(id('a'), id('1')))
  await claims.append(id('a'), 1, claim(id('a'), id('2')))
  const [first, second] = [await store.get(nameOf(id('a'), 1)), await store.get(nameOf(id('a'), 2))]
  // A version that is put behind the last one would bring back what was.
  await store.put(nameOf(id('a'), 3), [first])
  await assert.rejects(claims.latest(id('a')), { code: 'E_SEAL_BROKEN' })
  await store.put(nameOf(id('b'), 1), [second])
  await assert.rejects(claims.latest(id('b')), { code: 'E_SEAL_BROKEN' })

  const other = makeTestRepository('another tenant')
  const foreign = new Registry(other.repository)
  const foreignName = registryDocumentName({ tenant: other.repository.tenant, folder: 'claims' }, id('a'), 1)
  await other.store.put(foreignName, [first])
  await assert.rejects(foreign.claims.latest(id('a')), { code: 'E_SEAL_BROKEN' })
  // Nor when it says that it lies there: the key is another one.
  const bytes = encodeDocument(
    claimType,
    foreignName,
    claim(id('a'), id('1')),
    repository.indexKeys,
    repository.nonce(),
  )
  await other.store.put(foreignName, [bytes])
  await assert.rejects(foreign.claims.latest(id('a')), { code: 'E_SEAL_BROKEN' })
})

test('a document that is of another id than its name is damaged', async () => {
  const { claims, store, repository, nameOf } = makeClaims()
  const name = nameOf(id('a'), 1)
  const bytes = encodeDocument(claimType, name, claim(id('b'), id('1')), repository.indexKeys, repository.nonce())
  await store.put(name, [bytes])
  await assert.rejects(claims.latest(id('a')), { code: 'E_FORMAT_DAMAGED' })
})

test('what others put among the versions is passed over', async () => {
  const { claims, store, nameOf } = makeClaims()
  const only = await claims.create(id('a'), claim(id('a'), id('1')))
  await store.put(`${nameOf(id('a'), 1).slice(0, -8)}note`, [Buffer.from('x')])
  await store.put(`${nameOf(id('a'), 1).slice(0, -8)}zz/00000009`, [Buffer.from('x')])
  assert.deepEqual(await claims.latest(id('a')), only)
  assert.deepEqual(await Array.fromAsync(claims.list()), [only])
})
