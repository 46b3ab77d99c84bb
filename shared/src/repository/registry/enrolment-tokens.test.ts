import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enrolmentTokenType } from '../../format/enrolment-token.ts'
import { boundEnrolmentUsesMax, enrolmentLifeMsMax, enrolmentLifeMsMin, enrolmentUsesMax } from '../../limits.ts'
import { makeTestRepository, standingClock } from '../../testing/test-repository.ts'
import { asId, type EndpointId } from '../../types.ts'
import {
  countUses,
  createEnrolmentToken,
  findEnrolmentToken,
  nextUse,
  requireUsable,
  revokeEnrolmentToken,
  takeUse,
} from './enrolment-tokens.ts'
import { Registry } from './registry.ts'

const id = (digit: string): string => digit.repeat(32)
const wanted = { lifeMs: 3600_000, usesMax: 2, endpoint: null, note: 'for Graz' }

test('a token is kept as the hash of its secret, for as long as it was asked for by the store\u2019s clock', async () => {
  const { repository, store } = makeTestRepository()
  const { token, document } = await createEnrolmentToken(new Registry(repository), wanted)
  const nowMs = standingClock.nowMs()
  assert.deepEqual(document, {
    strata: 'enrolment-token',
    version: 1,
    token: token.id,
    secretHash: token.secretHash(),
    createdAt: new Date(nowMs).toISOString(),
    expiresAt: new Date(nowMs + wanted.lifeMs).toISOString(),
    usesMax: 2,
    endpoint: null,
    note: 'for Graz',
    revoked: false,
  })
  const secret = token.text().slice(-43)
  const secretHex = Buffer.from(secret, 'base64url').toString('hex')
  for await (const { name } of store.list('')) {
    assert.ok(name.startsWith(`tenants/${repository.tenant}/${enrolmentTokenType.folder}/`))
    const bytes = Buffer.from(await store.get(name))
    for (const shown of [secret, secretHex, 'Graz']) assert.ok(!bytes.includes(shown) && !name.includes(shown))
  }
  assert.ok(!JSON.stringify(document).includes(secret) && !JSON.stringify(document).includes(secretHex))
})

test('life and uses have bounds', async () => {
  const registry = new Registry(makeTestRepository().repository)
  const endpoint = asId<EndpointId>(id('e'))
  const wrong = [
    { lifeMs: enrolmentLifeMsMin - 1 },
    { lifeMs: enrolmentLifeMsMax + 1 },
    { usesMax: 0 },
    { usesMax: enrolmentUsesMax + 1 },
    { usesMax: boundEnrolmentUsesMax + 1, endpoint },
  ]
  for (const one of wrong)
    await assert.rejects(createEnrolmentToken(registry, { ...wanted, ...one }), { code: 'E_LIMIT' })
  await createEnrolmentToken(registry, { ...wanted, usesMax: enrolmentUsesMax, lifeMs: enrolmentLifeMsMax })
  await createEnrolmentToken(registry, { ...wanted, usesMax: boundEnrolmentUsesMax, endpoint })
})

test('a token is found by the beginning of its id, revoked once, and then worthless', async () => {
  const registry = new Registry(makeTestRepository().repository)
  const { token } = await createEnrolmentToken(registry, wanted)
  const found = await findEnrolmentToken(registry, token.id.slice(0, 6))
  requireUsable(found.document, 0)
  const [one, two] = await Promise.all([revokeEnrolmentToken(registry, found), revokeEnrolmentToken(registry, found)])
  assert.deepEqual([one.version, two], [2, one])
  assert.throws(
    () => {
      requireUsable(one.document, 0)
    },
    { code: 'E_ENROLMENT_REVOKED' },
  )
  await assert.rejects(findEnrolmentToken(registry, 'ffffff'), { code: 'E_ENROLMENT_UNKNOWN' })
})

test('a token is good up to the moment that it expires', () => {
  const expiresMs = Date.parse('2026-01-01T00:00:00.000Z')
  const document = { ...tokenDocument, expiresAt: new Date(expiresMs).toISOString() }
  requireUsable(document, expiresMs - 1)
  assert.throws(
    () => {
      requireUsable(document, expiresMs)
    },
    { code: 'E_ENROLMENT_EXPIRED' },
  )
})

const tokenDocument = {
  strata: 'enrolment-token',
  version: 1,
  token: id('a'),
  secretHash: id('b').repeat(2),
  createdAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-01T00:00:00.000Z',
  usesMax: 2,
  endpoint: null,
  note: '',
  revoked: false,
} as const

test('uses are counted, each enrolment has one, and the last one is the last', async () => {
  const registry = new Registry(makeTestRepository().repository)
  const use = (digit: string) => ({ enrolment: id(digit), endpoint: id(digit), firstUse: 1 })
  assert.equal(await nextUse(registry, tokenDocument), 1)
  assert.equal(await takeUse(registry, tokenDocument, use('1')), 1)
  assert.equal(await takeUse(registry, tokenDocument, use('1')), 1)
  assert.equal(await nextUse(registry, tokenDocument), 2)
  assert.equal(await takeUse(registry, tokenDocument, use('2')), 2)
  await assert.rejects(nextUse(registry, tokenDocument), { code: 'E_ENROLMENT_USED_UP' })
  await assert.rejects(takeUse(registry, tokenDocument, use('3')), { code: 'E_ENROLMENT_USED_UP' })
  assert.equal(await takeUse(registry, tokenDocument, use('1')), 1)
  await takeUse(registry, { ...tokenDocument, token: id('c') }, use('1'))
  assert.deepEqual(
    [...(await countUses(registry))],
    [
      [id('a'), 2],
      [id('c'), 1],
    ],
  )
})
