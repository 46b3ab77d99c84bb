import { constants, getPriority, setPriority } from 'node:os'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { invariant, systemErrorCode, toStrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { retryNote } from '@strata/shared/store/decorators/retry.ts'
import { serviceEndMsMax } from '@strata/shared/limits.ts'
import { allRoles } from '../roles.ts'
import { startService, type Service } from '../service.ts'
import { LocalSessions } from './local-sessions.ts'
import { startPrivateRedis, type PrivateRedis } from './private-redis.ts'
import type { AnswerMessage, CallMessage, ServiceCalls, ServiceMethod, ServiceSettings } from './service-protocol.ts'

/**
 * The service process of a `strata backup` on one machine: gateway and workers behind the channel to its parent. It
 * ends when it is told to, and when its parent is gone.
 */
let service: Service | undefined
let sessions: LocalSessions | undefined
let redis: PrivateRedis | undefined
/** Whoever gives up, or has what they wanted, does not wait for a store that is away. */
const ending = new AbortController()
let starting: Promise<void> | undefined
let stopping: Promise<void> | undefined

type Handlers = {
  [M in ServiceMethod]: (...parameters: ServiceCalls[M]['parameters']) => Promise<ServiceCalls[M]['result']>
}

const handlers: Handlers = {
  start: async (settings) => {
    const warnings: Warning[] = []
    starting = start(settings, (warning) => warnings.push(warning))
    await starting
    return warnings
  },
  open: (request) => running().open(request),
  presentHistory: (ref, points) => running().gateway.presentHistory(ref, points),
  baseDigests: (ref, disk, firstPage, pageCount) => running().gateway.baseDigests(ref, disk, firstPage, pageCount),
  sent: async (ref, segment, segmentFile) => {
    await running().send(ref, segment, segmentFile)
    return undefined
  },
  finish: (ref, request) => running().finish(ref, request),
  abandon: async (ref) => {
    ending.abort()
    await running().abandon(ref)
    return undefined
  },
  metrics: () => {
    invariant(service !== undefined, 'the service was started')
    return Promise.resolve(service.metrics())
  },
  stop: async () => {
    await stopOnce()
    return undefined
  },
}

async function start(settings: ServiceSettings, onWarning: (warning: Warning) => void): Promise<void> {
  stepBack()
  redis = settings.redisUrl === undefined ? await startPrivateRedis(systemClock) : undefined
  service = await startService({
    storeUrl: settings.storeUrl,
    keyringPath: settings.keyringPath,
    roles: allRoles,
    isAlone: true,
    redis: redis === undefined ? { url: settings.redisUrl ?? '' } : { socketPath: redis.socketPath },
    ...(redis === undefined ? {} : { redisDied: redis.died }),
    handOverDirectory: settings.handOverDirectory,
    bytesPerSecondMax: settings.bytesPerSecondMax,
    threads: settings.threads,
    env: process.env,
    clock: systemClock,
    random: systemRandomBytes,
    meter: new UsageMeter(systemClock, systemRandomBytes),
    onRetry: (error, attempt, delayMs) => {
      note(retryNote(error, attempt, delayMs))
    },
    onNote: note,
    onWarning,
    signal: ending.signal,
  })
  const [repository] = service.tenants.all
  invariant(repository !== undefined, 'a service has a tenant')
  sessions = new LocalSessions(await service.gatewayOf(repository.tenant), service.handOver.path)
}

/** Reading the disk comes first: a worker that takes the agent's core makes both wait. No backup fails for it. */
function stepBack(): void {
  try {
    setPriority(Math.min(constants.priority.PRIORITY_LOW, getPriority() + 1))
  } catch (error) {
    note(`the priority of the service stays as it is: ${systemErrorCode(error) ?? String(error)}`)
  }
}

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Whoever asks a second time waits for the same end. */
function stopOnce(): Promise<void> {
  stopping ??= stop()
  return stopping
}

async function stop(): Promise<void> {
  ending.abort()
  await Promise.allSettled([starting])
  try {
    await service?.close()
  } finally {
    await redis?.stop()
  }
}

function running(): LocalSessions {
  invariant(sessions !== undefined && stopping === undefined, 'the service was started, and not yet stopped')
  return sessions
}

function answer(message: AnswerMessage): void {
  // A parent that is gone, or goes in this moment, needs no answer; 'disconnect' below ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}

process.on('message', (message: CallMessage) => {
  const handler = handlers[message.method] as (...parameters: unknown[]) => Promise<unknown>
  handler(...message.parameters).then(
    (result) => {
      answer({ id: message.id, result })
    },
    (error: unknown) => {
      answer({ id: message.id, error: toStrataError(error).toJSON() })
    },
  )
})

// Whoever reads what this process says may be gone. That is no reason to end before everything is cleared away.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

const signals = ['SIGINT', 'SIGHUP', 'SIGTERM']

process.once('disconnect', () => {
  void stopOnce().finally(() => process.exit())
  // Nobody else is left to end it, should a disk, a store or Redis hang.
  setTimeout(() => process.exit(1), serviceEndMsMax)
  for (const signal of signals) process.removeAllListeners(signal)
})

// A terminal's Ctrl-C or hang-up and a service manager's stop go to the whole group; while there is a parent, it decides
// what ends when.
for (const signal of signals) process.on(signal, () => undefined)
