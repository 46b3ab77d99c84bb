import { backupSet, type BackupOutcome } from '@strata/agent/backup.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { toStrataError } from '@strata/shared/errors.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { startLocalService, type LocalService } from '../../local/local-service.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { parseBlockSize } from '../input/block-size.ts'
import { parseSources, type NamedSource } from '../input/source.ts'
import { reportBackup } from '../output/backup-report.ts'
import { DiskProgress } from '../output/disk-progress.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface BackupCommandOptions {
  readonly set?: string
  readonly full?: boolean
  readonly differential?: boolean
  readonly blockSize?: string
  readonly allowChanging?: boolean
  readonly tenant?: string
}

interface BackupRequest {
  readonly sources: readonly NamedSource[]
  readonly setName: string
  readonly kind: 'auto' | 'full' | 'differential'
  readonly blockBytes: number | undefined
  readonly allowChanging: boolean
}

/** `strata backup`: agent, gateway and workers on this machine, for one point. */
export async function backup(
  context: Context,
  texts: readonly string[],
  options: BackupCommandOptions,
): Promise<ExitCode> {
  const { clock, reporter } = context
  const startedMs = clock.monotonicMs()
  const request = requestFrom(context, texts, options)
  await requireKeyring(context, options.tenant)
  const told = new Set<string>()
  const tell = (warning: Warning): void => {
    const text = `${warning.code}: ${warning.message}`
    if (!told.has(text)) reporter.warning(text)
    told.add(text)
  }
  const service = new ServiceOnDemand(context, tell)
  try {
    const outcome = await runBackup(context, request, service, tell)
    outcome.warnings.forEach(tell)
    // The point is there, whatever becomes of the service now.
    const requests = await service.metrics().catch((error: unknown) => {
      reporter.warning(`the requests to the store are not known: ${toStrataError(error).message}`)
      return null
    })
    reportBackup(context, outcome, requests, Math.round(clock.monotonicMs() - startedMs))
    return exitCodes.success
  } finally {
    // What ended a run is not hidden by what ends its service, and a point is a point.
    await service.stop().catch((error: unknown) => {
      reporter.warning(`the service did not stop as it should: ${toStrataError(error).message}`)
    })
  }
}

function requestFrom(context: Context, texts: readonly string[], options: BackupCommandOptions): BackupRequest {
  return {
    sources: parseSources(texts, context.workingDirectory),
    setName: requireSetName(options.set ?? context.hostName),
    kind: options.full === true ? 'full' : options.differential === true ? 'differential' : 'auto',
    blockBytes: options.blockSize === undefined ? undefined : parseBlockSize(options.blockSize),
    allowChanging: options.allowChanging === true,
  }
}

/** The service reads the keyring itself; here it is rebuilt where it is lost. */
async function requireKeyring(context: Context, tenant: string | undefined): Promise<void> {
  await withStore(context, async (store) => {
    await openGivenTenant(context, store, tenant)
  })
}

async function runBackup(
  context: Context,
  { sources, setName, kind, blockBytes, allowChanging }: BackupRequest,
  service: ServiceOnDemand,
  onWarning: (warning: Warning) => void,
): Promise<BackupOutcome> {
  const { settings, clock, signal, reporter } = context
  const progress = new DiskProgress(reporter, sources)
  try {
    return await backupSet({
      uplink: { open: async (request) => (await service.running()).uplink.open(request) },
      sources,
      setName,
      kind,
      ...(blockBytes === undefined ? {} : { blockBytes }),
      stateDirectory: settings.stateDirectory,
      allowChanging,
      clock,
      signal,
      onWarning,
      onProgress: (state) => {
        if (state.phase === 'scan') progress.update(state)
        else reporter.log(`backup: ${state.phase}`)
      },
    })
  } finally {
    progress.end()
  }
}

/** Started only when the agent has opened its sources: a mistyped path costs no Redis. */
class ServiceOnDemand {
  readonly #context: Context
  readonly #onWarning: (warning: Warning) => void
  #service: Promise<LocalService> | undefined

  constructor(context: Context, onWarning: (warning: Warning) => void) {
    this.#context = context
    this.#onWarning = onWarning
  }

  running(): Promise<LocalService> {
    this.#service ??= this.#start()
    return this.#service
  }

  async metrics(): Promise<StoreTotals> {
    return await (await this.running()).metrics()
  }

  async stop(): Promise<void> {
    if (this.#service === undefined) return
    // A service that did not start has told so, and left nothing to stop.
    const [started] = await Promise.allSettled([this.#service])
    if (started.status === 'fulfilled') await started.value.stop()
  }

  async #start(): Promise<LocalService> {
    const { settings, env, reporter } = this.#context
    const service = await startLocalService({
      storeUrl: requireStoreUrl(settings),
      keyringPath: settings.keyringPath,
      redisUrl: settings.redisUrl,
      handOverDirectory: settings.handOverDirectory,
      bytesPerSecondMax: settings.bytesPerSecondMax,
      env,
      onLog: (line) => {
        reporter.log(`service: ${line}`)
      },
    })
    service.warnings.forEach(this.#onWarning)
    return service
  }
}
