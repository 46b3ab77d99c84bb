import { availableParallelism } from 'node:os'
import { StrataError } from '@strata/shared/errors.ts'
import { ingestThreadsMax } from '@strata/shared/limits.ts'
import { retryNote } from '@strata/shared/store/decorators/retry.ts'
import { startPrivateRedis } from '../../local/private-redis.ts'
import type { RedisAddress } from '../../redis-connection.ts'
import { allRoles, parseRoles } from '../../roles.ts'
import { startServer } from '../../server.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { isLoopback, parseListen } from '../input/listen.ts'
import { tlsFilesOf, type TlsOptions } from '../input/tls-files.ts'
import { requireStoreUrl } from '../settings.ts'
import { untilInterrupted } from '../until-interrupted.ts'

export interface ServeOptions extends TlsOptions {
  readonly listen: string
  readonly roles?: string
  readonly staging?: string
}

/** `strata serve`: a process of the service, until it is interrupted. */
export async function serve(context: Context, options: ServeOptions): Promise<ExitCode> {
  const { settings, env, clock, random, reporter, signal } = context
  const roles = options.roles === undefined ? allRoles : parseRoles(options.roles)
  const listen = parseListen(options.listen)
  const tls = tlsFilesOf(options)
  const redis = await redisFor(context)
  try {
    const server = await startServer({
      storeUrl: requireStoreUrl(settings),
      keyringPath: settings.keyringPath,
      stagingUrl: options.staging ?? settings.stagingUrl,
      roles,
      listen,
      tls,
      redis: redis.address,
      ...(redis.died === undefined ? {} : { redisDied: redis.died }),
      handOverDirectory: settings.handOverDirectory,
      bytesPerSecondMax: settings.bytesPerSecondMax,
      threads: Math.min(availableParallelism(), ingestThreadsMax),
      env,
      clock,
      random,
      onRetry: (error, attempt, delayMs) => {
        reporter.note(`strata: ${retryNote(error, attempt, delayMs)}`)
      },
      onNote: (note) => {
        reporter.note(note)
      },
      onWarning: ({ code, message }) => {
        reporter.warning(`${code}: ${message}`)
      },
    })
    try {
      const { address } = server
      reporter.result({ roles: [...roles], address: address ?? null, pid: process.pid }, [
        `${[...roles].join(', ')}${address === undefined ? '' : ` at ${address}`}`,
      ])
      if (address?.startsWith('http:') === true && !isLoopback(listen.host)) {
        reporter.warning('without TLS: put a proxy with a certificate before it, or give --tls-cert and --tls-key')
      }
      const death = await Promise.race([untilInterrupted(signal), redis.died ?? never])
      if (death !== undefined) throw death
    } finally {
      await server.close()
    }
    return exitCodes.success
  } finally {
    await redis.stop()
  }
}

interface UsedRedis {
  readonly address: RedisAddress
  readonly died: Promise<StrataError> | undefined
  stop(): Promise<void>
}

async function redisFor({ settings, clock, reporter }: Context): Promise<UsedRedis> {
  if (settings.redisUrl !== undefined) {
    return { address: { url: settings.redisUrl }, died: undefined, stop: () => Promise.resolve() }
  }
  reporter.note('no STRATA_REDIS_URL: this process starts a Redis of its own, and can be the only one of its service')
  const redis = await startPrivateRedis(clock)
  return { address: { socketPath: redis.socketPath }, died: redis.died, stop: () => redis.stop() }
}

const never = new Promise<never>(() => undefined)
