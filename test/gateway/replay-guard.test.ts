import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { hasCode } from '@strata/shared/errors.ts'
import type { VerifiedRequest } from '@strata/shared/protocol/request-token.ts'
import { asId, type EndpointId } from '@strata/shared/types.ts'
import { ReplayGuard } from '@strata/workers/gateway/auth/replay-guard.ts'
import { connect, patient } from '@strata/workers/redis-connection.ts'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

const one = asId<EndpointId>('1'.repeat(32))
const other = asId<EndpointId>('2'.repeat(32))

function verified(number: number, more: Partial<VerifiedRequest> = {}): VerifiedRequest {
  const tokenId = number.toString(16).padStart(32, '0')
  return { endpoint: one, tokenId, rememberMs: 60_000, bodyDigest: new Uint8Array(32), ...more }
}

describeWith(redisRequirement, 'the guard against requests that come twice', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  async function guarded(
    prefixes: readonly string[],
    work: (guards: readonly ReplayGuard[]) => Promise<void>,
  ): Promise<void> {
    const guards = prefixes.map((prefix) => new ReplayGuard({ address: { url: redis.url }, prefix }))
    try {
      await work(guards)
    } finally {
      for (const guard of guards) guard.close()
    }
  }

  test('of one request that comes to many gateways at once one is taken', async () => {
    await guarded(['many', 'many', 'many', 'many'], async (guards) => {
      const tried = await Promise.allSettled(
        Array.from({ length: 10 }, () => guards.map((guard) => guard.admit(verified(1)))).flat(),
      )
      assert.equal(tried.filter(({ status }) => status === 'fulfilled').length, 1)
      for (const attempt of tried) {
        if (attempt.status === 'rejected') assert.ok(hasCode(attempt.reason, 'E_TOKEN_REPLAYED'))
      }
    })
  })

  test('other ids, other endpoints and other services are in nobody\u2019s way', async () => {
    await guarded(['apart', 'service'], async ([guard, another]) => {
      await guard?.admit(verified(1))
      await guard?.admit(verified(2))
      await guard?.admit(verified(1, { endpoint: other }))
      await another?.admit(verified(1))
      await assert.rejects(async () => guard?.admit(verified(1)), { code: 'E_TOKEN_REPLAYED' })
    })
  })

  test('an id is remembered for as long as it was asked for, and is gone by itself', async () => {
    const client = connect({ url: redis.url }, patient)
    try {
      await guarded(['while'], async ([guard]) => {
        await guard?.admit(verified(1, { rememberMs: 240_000 }))
        const [key = ''] = await client.keys('while:*')
        const leftMs = await client.pttl(key)
        assert.ok(leftMs > 200_000 && leftMs <= 240_000, String(leftMs))
        await client.pexpire(key, 0)
        await guard?.admit(verified(1))
      })
    } finally {
      client.disconnect()
    }
  })

  test('without an answer of Redis nothing is taken; when it is back it goes on', async () => {
    const restarted = await startRedis()
    const guard = new ReplayGuard({ address: { url: restarted.url }, prefix: 'gone' })
    try {
      await guard.admit(verified(1))
      await restarted.kill()
      await assert.rejects(guard.admit(verified(2)), { code: 'E_REDIS_UNREACHABLE' })
      await restarted.startAgain()
      await assert.doesNotReject(guard.admit(verified(2)))
    } finally {
      guard.close()
      await restarted.stop()
    }
  })

  test('a Redis that is full takes nothing, and says so', async () => {
    const full = await startRedis({ args: ['--maxmemory', '1'] })
    const guard = new ReplayGuard({ address: { url: full.url }, prefix: 'full' })
    try {
      await assert.rejects(guard.admit(verified(1)), { code: 'E_REDIS_REFUSES', message: /OOM/ })
    } finally {
      guard.close()
      await full.stop()
    }
  })
})
