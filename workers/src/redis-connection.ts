import { Redis } from 'ioredis'
import { StrataError } from '@strata/shared/errors.ts'
import { redisConnectTimeoutMs } from '@strata/shared/limits.ts'

/**
 * Where Redis is: a URL (`redis://` or `rediss://`) or the path of a socket.
 */
export type RedisAddress = { readonly url: string } | { readonly socketPath: string }

/** Workers wait through an outage (BullMQ demands null here); how long is bounded by `RedisGuard`. */
export const patient = { maxRetriesPerRequest: null, connectTimeout: redisConnectTimeoutMs }

/** Tries once. One that takes the connection and then says nothing is not waited for either. */
export const impatient = {
  ...patient,
  commandTimeout: redisConnectTimeoutMs,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
}

/** Requests wait for it: it connects again and again, and says soon when there is no answer. */
export const hasty = {
  ...patient,
  commandTimeout: redisConnectTimeoutMs,
  maxRetriesPerRequest: 1,
}

/** For BullMQ, which makes and ends connections of its own. */
export function bullConnection(address: RedisAddress): { url: string } | { path: string } {
  return 'url' in address ? { url: requireRedisUrl(address.url), ...patient } : { path: address.socketPath, ...patient }
}

interface ConnectOptions {
  readonly connectTimeout: number
  readonly commandTimeout?: number
  readonly maxRetriesPerRequest: number | null
  readonly lazyConnect?: boolean
  readonly retryStrategy?: () => null
}

export function connect(address: RedisAddress, options: ConnectOptions): Redis {
  const client =
    'url' in address
      ? new Redis(requireRedisUrl(address.url), options)
      : new Redis({ path: address.socketPath, ...options })
  // Without a listener ioredis writes to the console; whoever uses the connection sees its errors anyway.
  client.on('error', () => undefined)
  return client
}

function requireRedisUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'redis:' && parsed?.protocol !== 'rediss:') {
    throw new StrataError('E_REDIS_UNREACHABLE', 'STRATA_REDIS_URL is no redis:// or rediss:// URL')
  }
  return url
}

const versionMin: readonly [number, number] = [6, 2]

export interface RedisFacts {
  /** It writes nothing to disk. Undefined: it does not say. */
  readonly isVolatile: boolean | undefined
}

/** Connects once and checks that this Redis can be trusted with jobs: it lets us in, is new enough, never evicts. */
export async function checkRedis(address: RedisAddress): Promise<RedisFacts> {
  const client = connect(address, { ...impatient, lazyConnect: true })
  // What a connection ends with is only that it ended; why, it says in an event.
  let reason: Error | undefined
  client.on('error', (error: Error) => (reason ??= error))
  let info: string
  let savePoints: string | undefined
  try {
    await client.connect()
    info = await client.info()
    savePoints = await savePointsOf(client)
    // A database that is not there: the connection would go on with another one.
    if (reason !== undefined) throw reason
  } catch (thrown) {
    throw redisError(address, reason ?? thrown)
  } finally {
    client.disconnect()
  }
  const version = infoField(info, 'redis_version') ?? '0'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < versionMin[0] || (major === versionMin[0] && minor < versionMin[1])) {
    throw new StrataError('E_REDIS_OLD', `Redis at ${describe(address)} is version ${version}`)
  }
  const policy = infoField(info, 'maxmemory_policy')
  if (policy !== 'noeviction') {
    throw new StrataError(
      'E_REDIS_EVICTS',
      `Redis at ${describe(address)} has maxmemory-policy ${policy ?? 'unknown'}: it may throw jobs away`,
    )
  }
  const appends = infoField(info, 'aof_enabled') === '1'
  return { isVolatile: appends ? false : savePoints === undefined ? undefined : savePoints === '' }
}

/** When it writes a snapshot to disk; '': never. Undefined where nobody may ask, as with most that are rented. */
async function savePointsOf(client: Redis): Promise<string | undefined> {
  try {
    const [, points] = await client.config('GET', 'save')
    return points
  } catch (error) {
    if (isRefusal(error)) return undefined
    throw error
  }
}

/** Redis is there and says no: it is full, a replica, broken, or does not know this user. */
export function isRefusal(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}

/** E_REDIS_REFUSES, E_REDIS_UNREACHABLE. */
export function redisError(address: RedisAddress, error: unknown): StrataError {
  const place = describe(address)
  const reason = error instanceof Error ? error.message : String(error)
  return isRefusal(error)
    ? new StrataError('E_REDIS_REFUSES', `Redis at ${place} refuses: ${reason}`, { cause: error })
    : new StrataError('E_REDIS_UNREACHABLE', `Redis does not answer at ${place}: ${reason}`, { cause: error })
}

function infoField(info: string, field: string): string | undefined {
  return new RegExp(`^${field}:([^\\r\\n]*)`, 'm').exec(info)?.[1]
}

/** For messages: without user and password. */
export function describe(address: RedisAddress): string {
  if ('socketPath' in address) return address.socketPath
  const { protocol, host, pathname } = new URL(address.url)
  return `${protocol}//${host}${pathname}`
}
