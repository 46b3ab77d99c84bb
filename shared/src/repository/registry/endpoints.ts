import type { Endpoint } from '../../format/endpoint.ts'
import { whileOthersAreFaster } from './change.ts'
import { findDocument } from './find.ts'
import { instant, type Registry } from './registry.ts'
import type { Versioned } from './versioned.ts'

/** E_ENDPOINT_UNKNOWN, E_ID_AMBIGUOUS. */
export async function findEndpoint(registry: Registry, reference: string): Promise<Versioned<Endpoint>> {
  return await findDocument(registry.endpoints, reference, { what: 'endpoint', unknown: 'E_ENDPOINT_UNKNOWN' })
}

/** For good: the machine and its name are free for another enrolment. One that is revoked already stays as it is. */
export async function revokeEndpoint(
  registry: Registry,
  endpoint: Versioned<Endpoint>,
  note?: string,
): Promise<Versioned<Endpoint>> {
  return await whileOthersAreFaster(async () => {
    const newest = (await registry.endpoints.latest(endpoint.id, endpoint)) ?? endpoint
    if (newest.document.state === 'revoked') return newest
    return await registry.endpoints.append(newest.id, newest.version, await asRevoked(registry, newest.document, note))
  })
}

export async function asRevoked(registry: Registry, document: Endpoint, note = document.note): Promise<Endpoint> {
  return { ...document, state: 'revoked', note, changedAt: instant(await registry.repository.store.now()) }
}
