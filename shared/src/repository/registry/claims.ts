import { StrataError } from '../../errors.ts'
import type { Endpoint } from '../../format/endpoint.ts'
import { asId, type Id } from '../../types.ts'
import { asRevoked } from './endpoints.ts'
import type { Registry } from './registry.ts'
import type { Versioned } from './versioned.ts'

/**
 * One machine is one endpoint, and one name means one endpoint. Invariant: of the endpoints that ever held a claim at
 * most one is not revoked, the last one. A claim passes on only after its holder was seen to be revoked, which is for
 * good, and an endpoint becomes active only under claims that it holds.
 *
 * So an enrolment that was left halfway locks nobody out: whoever comes next revokes it, and takes over.
 */
export interface Claim {
  readonly id: Id
  readonly of: 'machine' | 'name'
}

/** @param fingerprint as in the endpoint's document */
export function machineClaim(fingerprint: string): Claim {
  return { id: idFromHash(fingerprint), of: 'machine' }
}

/** @param name in NFC */
export function nameClaim({ repository }: Registry, name: string): Claim {
  return { id: idFromHash(repository.registryHash('name', name)), of: 'name' }
}

const idDigits = 32

/** The first half of a registry's hash. */
export function idFromHash(hash: string): Id {
  return asId<Id>(hash.slice(0, idDigits))
}

/** The last holder of a claim; undefined: nobody ever held it, or the document of who did was deleted. */
export async function holderOf(registry: Registry, claim: Claim): Promise<Versioned<Endpoint> | undefined> {
  const held = await registry.claims.latest(claim.id)
  return held === undefined ? undefined : await registry.endpoints.latest(held.document.endpoint)
}

/** Refuses early, before anything is written: E_ENDPOINT_DUPLICATE, E_ENDPOINT_NAME_TAKEN. */
export async function requireFree(registry: Registry, claim: Claim, endpoint: Id): Promise<void> {
  const holder = await holderOf(registry, claim)
  if (holder !== undefined && holder.id !== endpoint && holder.document.state === 'active') throw taken(claim, holder)
}

/**
 * Makes `endpoint` the holder. E_ENDPOINT_DUPLICATE, E_ENDPOINT_NAME_TAKEN: an active endpoint is. Somebody else takes
 * it at the same time: E_REGISTRY_CONFLICT.
 */
export async function takeClaim(registry: Registry, claim: Claim, endpoint: Id): Promise<void> {
  const held = await registry.claims.latest(claim.id)
  if (held?.document.endpoint === endpoint) {
    await registry.claims.settle(held.id, held.version)
    return
  }
  if (held !== undefined) await requireRevoked(registry, claim, held.document.endpoint)
  await registry.claims.append(claim.id, held?.version ?? 0, {
    strata: 'claim',
    version: 1,
    claim: claim.id,
    endpoint,
  })
}

/**
 * What has only begun to enrol is revoked: it cannot become active any more, whoever is at it. If it has become active
 * at this very moment, that is a conflict, and seen when all is begun again.
 */
async function requireRevoked(registry: Registry, claim: Claim, holder: Id): Promise<void> {
  const found = await registry.endpoints.latest(holder)
  if (found === undefined) return
  if (found.document.state === 'active') throw taken(claim, found)
  if (found.document.state === 'revoked') {
    await registry.endpoints.settle(found.id, found.version)
  } else {
    await registry.endpoints.append(found.id, found.version, await asRevoked(registry, found.document))
  }
}

export function taken({ of }: Claim, { id, document }: Versioned<Endpoint>): StrataError {
  const details = { endpoint: id, name: document.name }
  if (of === 'name') {
    return new StrataError('E_ENDPOINT_NAME_TAKEN', `the name '${document.name}' has endpoint ${id} already`, {
      details,
    })
  }
  return new StrataError('E_ENDPOINT_DUPLICATE', `this machine is endpoint ${id} ('${document.name}') already`, {
    details,
  })
}
