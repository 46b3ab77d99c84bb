import type { Redis } from 'ioredis'
import { queueClaimLifeMs } from '@strata/shared/limits.ts'

/**
 * Which services have queues in a Redis. Queues have no end of their own: those of a service that was killed would stay
 * for ever. So a service claims its prefix before it makes queues there, renews the claim while it runs, and gives it
 * back when its queues are gone; the queues of a claim that ran out are removed by the next service that starts.
 *
 * One sorted set holds all claims, by the second at which they run out. All times are Redis's own.
 */
const claimsKey = 'strata-claims'

/** Prefixes are chosen by services alone; what else somebody wrote there leads to keys of theirs. */
const prefixPattern = /^strata-[0-9a-f]{16}$/

const renewScript = `
local now = tonumber(redis.call('TIME')[1])
return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])`

const lapsedScript = `return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])`

const forgetScript = `
local now = tonumber(redis.call('TIME')[1])
local runsOut = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
return runsOut and runsOut <= now and redis.call('ZREM', KEYS[1], ARGV[1]) or 0`

export async function renewClaim(client: Redis, prefix: string): Promise<void> {
  await client.eval(renewScript, 1, claimsKey, prefix, Math.ceil(queueClaimLifeMs / 1000))
}

export async function giveBackClaim(client: Redis, prefix: string): Promise<void> {
  await client.zrem(claimsKey, prefix)
}

/** The prefixes whose services did not renew their claims in time. */
export async function lapsedClaims(client: Redis): Promise<string[]> {
  const prefixes = (await client.eval(lapsedScript, 1, claimsKey)) as string[]
  return prefixes.filter((prefix) => prefixPattern.test(prefix))
}

/** After its queues were removed; unless its service woke up and renewed it meanwhile. */
export async function forgetLapsedClaim(client: Redis, prefix: string): Promise<void> {
  await client.eval(forgetScript, 1, claimsKey, prefix)
}
