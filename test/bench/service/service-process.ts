import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { allRoles, parseRoles } from '@strata/workers/roles.ts'
import { prepareServerProcess } from '@strata/workers/server-process.ts'
import { startServer } from '@strata/workers/server.ts'
import { answerParent, ownCost, type ProcessCost } from './answering.ts'

/** A process of a service, put together as `strata serve` does it, which says what it costs. */
export interface ServiceProcessOptions {
  readonly storeUrl: string
  readonly keyringPath: string
  readonly redisUrl: string
  readonly stagingUrl: string | null
  /** As `--roles` takes them; null: all. */
  readonly roles: string | null
  readonly handOverDirectory: string
  readonly threads: number
}

export interface ServiceLook extends ProcessCost {
  readonly requests: StoreTotals
}

const options = JSON.parse(process.argv[2] ?? '') as ServiceProcessOptions
prepareServerProcess()
const server = await startServer({
  storeUrl: options.storeUrl,
  keyringPath: options.keyringPath,
  stagingUrl: options.stagingUrl ?? undefined,
  roles: options.roles === null ? allRoles : parseRoles(options.roles),
  listen: { host: '127.0.0.1', port: 0 },
  redis: { url: options.redisUrl },
  handOverDirectory: options.handOverDirectory,
  threads: options.threads,
  env: process.env,
  clock: systemClock,
  random: systemRandomBytes,
  onNote: (note) => {
    process.stderr.write(`${note}\n`)
  },
})

process.once('SIGTERM', () => {
  void server.close().then(() => process.exit(0))
})

answerParent({
  address: () => Promise.resolve(server.address ?? null),
  look: () => Promise.resolve({ ...ownCost(), requests: server.metrics() } satisfies ServiceLook),
})
