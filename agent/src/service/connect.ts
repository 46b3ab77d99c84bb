import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { SessionInfo } from '@strata/shared/protocol/uplink.ts'
import type { UploadAnswer } from '@strata/shared/protocol/wire.ts'
import { signRequest } from '@strata/shared/protocol/request-token.ts'
import { createHandOver } from '@strata/shared/spool/hand-over.ts'
import { TokenBucket } from '@strata/shared/store/decorators/bandwidth.ts'
import type { HttpAgents } from '@strata/shared/store/http-transfer.ts'
import { closeConnections, openConnections } from '../http/connections.ts'
import type { AgentIdentity } from '../identity/agent-identity.ts'
import { machineFingerprint } from '../identity/machine-fingerprint.ts'
import { SegmentSealer } from '../send/seal-segment.ts'
import { uploadFile } from '../send/upload.ts'
import { HttpUplink } from './http-uplink.ts'
import { ServiceClient, type SentFile } from './service-client.ts'

export interface ClientOptions {
  readonly identity: AgentIdentity
  readonly clock: Clock
  readonly random: RandomBytes
  readonly outageMsMax?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Told why the service is waited for, and for how long, before each further try. */
  readonly onWait?: ((error: StrataError, delayMs: number) => void) | undefined
}

export interface OpenClient {
  readonly client: ServiceClient
  readonly agents: HttpAgents
}

/** For questions only. Ends with `closeConnections(agents)`. E_CONFIGURATION. */
export function openClient(options: ClientOptions): OpenClient {
  const { identity, clock, random, signal, onWait, outageMsMax } = options
  const agents = openConnections({ caPath: identity.caFile ?? undefined, proxy: identity.proxy ?? undefined })
  const client = new ServiceClient({
    address: identity.serviceUrl,
    agents,
    sign: async (parts, nowMs) => await signRequest(identity, parts, nowMs, random),
    clock,
    random,
    signal,
    onWait,
    ...(outageMsMax === undefined ? {} : { outageMsMax }),
  })
  return { client, agents }
}

export interface ConnectOptions extends ClientOptions {
  /** See `machineFingerprint`. */
  readonly machineId?: string | undefined
  /** Where segments are put together; else in memory, or the directory for temporary files. */
  readonly spoolDirectory?: string | undefined
  /** Of segments on their way, on average. */
  readonly bytesPerSecondMax?: number | undefined
  /** Hears how many segments the service still has to pack before it can make the point. */
  readonly onPending?: ((segments: number) => void) | undefined
}

export interface ServiceConnection {
  readonly client: ServiceClient
  readonly uplink: HttpUplink
  /** Nothing of a segment is left on this machine. */
  close(): Promise<void>
}

/** Errors: E_CONFIGURATION, E_HANDOVER_SPACE, E_MACHINE_UNKNOWN. The service is not asked yet. */
export async function connectToService(options: ConnectOptions): Promise<ServiceConnection> {
  const { clock, random, signal, onPending, bytesPerSecondMax } = options
  const { client, agents } = openClient(options)
  const spool = await createHandOver(options.spoolDirectory)
  const sealer = new SegmentSealer()
  const bucket = bytesPerSecondMax === undefined ? undefined : new TokenBucket(bytesPerSecondMax, clock, signal)
  const uplink = new HttpUplink({
    client,
    random,
    machineFingerprint: await machineFingerprint(options.machineId),
    spoolDirectory: spool.path,
    segmentBytesMax: spool.segmentBytes,
    seal: async (path, segment, { session, transportKey }: SessionInfo): Promise<SentFile> => {
      const { sizeBytes, sha256 } = await sealer.seal({ path, session, segment, transportKey })
      return { path, bytes: sizeBytes, sha256 }
    },
    pace: async (bytes) => {
      await bucket?.take(bytes)
    },
    putStaged: async (file, grant) => {
      const outcome = await uploadFile(grantOf(grant), file, { agents, signal })
      // Whether it is there is for the service to say: an answer may have been lost, and stores differ in what they say.
      return outcome.kind === 'refused' ? outcome.error : undefined
    },
    onPending,
  })
  return {
    client,
    uplink,
    close: async () => {
      closeConnections(agents)
      await sealer.close()
      await spool.remove()
    },
  }
}

function grantOf({
  method,
  url,
  headers,
  expiresAt,
}: Extract<UploadAnswer, { to: 'staging' }>): Parameters<typeof uploadFile>[0] {
  return { method, url, headers, expiresAtMs: Date.parse(expiresAt) }
}
