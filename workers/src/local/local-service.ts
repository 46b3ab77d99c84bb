import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { ingestThreadsMax } from '@strata/shared/limits.ts'
import type { OpenedSession, Uplink } from '@strata/shared/protocol/uplink.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { ServiceChannel } from './service-channel.ts'
import type { LocalSession } from './service-protocol.ts'

/** A service of our own for one run: a process with gateway and workers, and a private Redis unless there is one. */
export interface LocalService {
  readonly uplink: Uplink
  /** What it has met while it started, and serves all the same. */
  readonly warnings: readonly Warning[]
  metrics(): Promise<StoreTotals>
  /** Resident memory of the service process at its peak cannot be asked for after it is gone. */
  readonly pid: number
  stop(): Promise<void>
}

export interface LocalServiceOptions {
  readonly storeUrl: string
  readonly keyringPath: string
  readonly redisUrl?: string | undefined
  readonly handOverDirectory?: string | undefined
  /** To and from the store, each way. */
  readonly bytesPerSecondMax?: number | undefined
  readonly env: NodeJS.ProcessEnv
  /** What the service process writes, line by line. */
  readonly onLog: (line: string) => void
}

export async function startLocalService(options: LocalServiceOptions): Promise<LocalService> {
  const child = fork(new URL('./service-process.ts', import.meta.url), {
    env: options.env,
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const channel = new ServiceChannel(child, options.onLog)
  let warnings: readonly Warning[]
  try {
    warnings = await channel.call('start', {
      storeUrl: options.storeUrl,
      keyringPath: options.keyringPath,
      ...(options.redisUrl === undefined ? {} : { redisUrl: options.redisUrl }),
      ...(options.handOverDirectory === undefined ? {} : { handOverDirectory: options.handOverDirectory }),
      ...(options.bytesPerSecondMax === undefined ? {} : { bytesPerSecondMax: options.bytesPerSecondMax }),
      threads: Math.min(availableParallelism(), ingestThreadsMax),
    })
  } catch (error) {
    await channel.end()
    throw error
  }
  return {
    warnings,
    uplink: { open: async (request) => openedSession(channel, await channel.call('open', request)) },
    metrics: () => channel.call('metrics'),
    pid: child.pid ?? 0,
    stop: async () => {
      try {
        await channel.call('stop')
      } finally {
        await channel.end()
      }
    },
  }
}

function openedSession(channel: ServiceChannel, { info, spoolDirectory }: LocalSession): OpenedSession {
  const ref = { set: info.set, session: info.session }
  return {
    ...info,
    spoolDirectory,
    presentHistory: (points) => channel.call('presentHistory', ref, points),
    baseDigests: (disk, firstPage, pageCount) => channel.call('baseDigests', ref, disk, firstPage, pageCount),
    send: (segment, path) => channel.call('sent', ref, segment, basename(path)),
    finish: (end) => channel.call('finish', ref, end),
    abandon: () => channel.call('abandon', ref),
  }
}
