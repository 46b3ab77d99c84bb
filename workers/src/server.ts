import type { FastifyInstance } from 'fastify'
import { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { bytesInFlightInAllMax, gatewayCloseMsMax, handOverFileBytesMax } from '@strata/shared/limits.ts'
import { handOverQueues, stagedQueues, type IngestJob } from '@strata/shared/queue/ingest-job.ts'
import { openStaging } from '@strata/shared/staging/open-staging.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { asId } from '@strata/shared/types.ts'
import { Admission } from './gateway/admission.ts'
import { ReplayGuard } from './gateway/auth/replay-guard.ts'
import { authenticateWith } from './gateway/http/authenticate.ts'
import { DirectIntake } from './gateway/http/direct-intake.ts'
import { handlersOf, type SegmentIntake } from './gateway/http/handlers.ts'
import { buildServer } from './gateway/http/server.ts'
import { StagedIntake } from './gateway/http/staged-intake.ts'
import { startService, type Service, type ServiceOptions } from './service.ts'
import { readTls, type Tls, type TlsFiles } from './tls-files.ts'

export interface ServerOptions extends Omit<ServiceOptions, 'isAlone' | 'staging' | 'onIngested' | 'meter'> {
  /** Where agents put segments; without one they send them to the gateway. */
  readonly stagingUrl?: string | undefined
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls?: TlsFiles | undefined
}

export interface RunningServer {
  /** Where agents find the gateway; undefined: this process is none. */
  readonly address: string | undefined
  /** What this process has asked of the store; the staging area is not counted. */
  metrics(): StoreTotals
  /** Lets requests and jobs that are under way end, then stops. */
  close(): Promise<void>
}

/** A process of the service, with the roles it was given: the composition root of `strata serve`. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  requirePossible(options)
  const isGateway = options.roles.has('gateway')
  const tls = isGateway && options.tls !== undefined ? await readTls(options.tls) : undefined
  const meter = new UsageMeter(options.clock, options.random)
  const staging = await openArea(options, meter)
  // The workers are told of it before it can be made.
  const made: { admission?: Admission } = {}
  const onIngested = async ({ from, tenant, session, segment }: IngestJob): Promise<void> => {
    if (from === 'staging') await made.admission?.release({ tenant: asId(tenant), session: asId(session), segment })
  }
  const service = await startService({ ...options, isAlone: false, staging, onIngested, meter })
  const { own, shared } = service.places
  // Memory is each gateway's own; the staging area is everybody's.
  const admission =
    staging === undefined
      ? new Admission(own, handOverQueues.large, options.random, { bytesMax: bytesMaxOf(service) })
      : new Admission(shared, stagedQueues.large, options.random)
  made.admission = admission
  const close = async (): Promise<void> => {
    await service.close()
    admission.close()
    await staging?.close()
  }
  try {
    const gateway = isGateway ? await startGateway(options, { service, admission, staging, tls, meter }) : undefined
    return {
      address: gateway?.address,
      metrics: () => service.metrics(),
      close: async () => {
        await gateway?.close()
        await close()
      },
    }
  } catch (error) {
    // A port that somebody else has, and the like: workers that go on would keep the process.
    await close()
    throw error
  }
}

/** What lies in memory here must leave room for others; one segment always fits. */
function bytesMaxOf({ handOver }: Service): number {
  return Math.min(bytesInFlightInAllMax, Math.max(handOver.bytesMax, handOverFileBytesMax))
}

function requirePossible({ roles, stagingUrl }: ServerOptions): void {
  if (!roles.has('gateway') || stagingUrl !== undefined || roles.has('ingest')) return
  const message = 'a gateway without a staging area hands segments to workers in its own process'
  throw new StrataError('E_CONFIGURATION', message, {
    hint: 'Give it the role ingest as well, or a staging area with --staging.',
  })
}

async function openArea(options: ServerOptions, { onRequest }: UsageMeter): Promise<StagingArea | undefined> {
  const { stagingUrl, env, clock, random: randomBytes, onRetry, signal } = options
  if (stagingUrl === undefined) return undefined
  const staging = await openStaging(stagingUrl, { env, clock, randomBytes, onRequest, onRetry, signal })
  await staging.probe()
  return staging
}

interface GatewayParts {
  readonly service: Service
  readonly admission: Admission
  readonly staging: StagingArea | undefined
  readonly tls: Tls | undefined
  readonly meter: UsageMeter
}

interface RunningGateway {
  readonly address: string
  close(): Promise<void>
}

async function startGateway(options: ServerOptions, parts: GatewayParts): Promise<RunningGateway> {
  const { clock, random, onNote, listen } = options
  const { service, admission, staging, tls, meter } = parts
  const replayGuard = new ReplayGuard(service.places.shared)
  const intake: SegmentIntake =
    staging === undefined
      ? new DirectIntake(service.handOver.path, admission)
      : new StagedIntake({ staging, admission, random, onUploaded: meter.onRequest })
  const server = await buildServer({
    authenticate: authenticateWith({ tenants: service.tenants, replayGuard, clock }),
    handlers: handlersOf({ gatewayOf: (tenant) => service.gatewayOf(tenant), intake }),
    tls,
    ...(onNote === undefined ? {} : { onRefusal: onNote }),
  })
  const close = async (): Promise<void> => {
    // Whoever sends slowly, or nothing more at all, keeps nobody.
    const timer = setTimeout(() => {
      server.server.closeAllConnections()
    }, gatewayCloseMsMax)
    await server.close()
    clearTimeout(timer)
    replayGuard.close()
  }
  try {
    return { address: await listenOn(server, listen), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function listenOn(server: FastifyInstance, { host, port }: ServerOptions['listen']): Promise<string> {
  try {
    return await server.listen({ host, port })
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_CONFIGURATION', `the gateway cannot listen on ${host} port ${String(port)}: ${reason}`, {
      cause: error,
    })
  }
}
