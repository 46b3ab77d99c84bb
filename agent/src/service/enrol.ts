import type { KeyObject } from 'node:crypto'
import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { publicKeyOf } from '@strata/shared/protocol/endpoint-key.ts'
import { routes } from '@strata/shared/protocol/routes.ts'
import { asId, type EndpointId, type Id, type TenantId } from '@strata/shared/types.ts'
import { closeConnections, openConnections } from '../http/connections.ts'
import { enrolmentKey, keepIdentity, requireNoIdentity, type AgentIdentity } from '../identity/agent-identity.ts'
import { machineFingerprint } from '../identity/machine-fingerprint.ts'
import { thisMachine } from '../machine.ts'
import { ServiceClient } from './service-client.ts'

export interface EnrolOptions {
  readonly stateDirectory: string
  /** Without a slash at its end. */
  readonly serviceUrl: string
  /** The line that `strata token create` has shown. */
  readonly token: string
  readonly name: string
  /** See `machineFingerprint`. */
  readonly machineId?: string | undefined
  readonly caFile: string | null
  readonly proxy: string | null
  readonly clock: Clock
  readonly random: RandomBytes
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes this machine an endpoint of a service. It may die between any two lines: repeated with the same token, it goes on
 * with what it began. E_IDENTITY_EXISTS, E_ENROLMENT_*, E_ENDPOINT_*, and those of the client.
 */
export async function enrolMachine(options: EnrolOptions): Promise<AgentIdentity> {
  const { stateDirectory, serviceUrl, caFile, proxy, clock, random, signal } = options
  await requireNoIdentity(stateDirectory)
  const token = EnrolmentToken.parse(options.token)
  const privateKey = await enrolmentKey(stateDirectory, token, random)
  const agents = openConnections({ caPath: caFile ?? undefined, proxy: proxy ?? undefined })
  try {
    const sign = (): Promise<string> => Promise.reject(new Error('enrolments carry no token of an endpoint'))
    const client = new ServiceClient({ address: serviceUrl, agents, sign, clock, random, signal, outageMsMax: 0 })
    const answer = await client.ask(routes.enrol, { body: await bodyOf(token, privateKey, options) })
    return await keepIdentity(stateDirectory, {
      serviceUrl,
      repository: asId<Id>(answer.repository),
      tenant: asId<TenantId>(answer.tenant),
      endpoint: asId<EndpointId>(answer.endpoint),
      endpointName: answer.endpointName,
      caFile,
      proxy,
    })
  } finally {
    closeConnections(agents)
  }
}

async function bodyOf(
  token: EnrolmentToken,
  privateKey: KeyObject,
  { name, machineId }: EnrolOptions,
): Promise<object> {
  return {
    token: token.text(),
    publicKey: publicKeyOf(privateKey),
    machineFingerprint: await machineFingerprint(machineId),
    name,
    machine: thisMachine(),
  }
}
