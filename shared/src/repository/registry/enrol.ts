import { requireEndpointName } from '../../endpoint-name.ts'
import { StrataError } from '../../errors.ts'
import type { Endpoint } from '../../format/endpoint.ts'
import type { EnrolmentToken } from '../../format/enrolment-token-text.ts'
import type { EnrolmentTokenDocument } from '../../format/enrolment-token.ts'
import type { MachineDescription } from '../../format/manifest.ts'
import type { Id } from '../../types.ts'
import { whileOthersAreFaster } from './change.ts'
import { holderOf, idFromHash, machineClaim, nameClaim, requireFree, takeClaim, taken } from './claims.ts'
import { authenticEnrolmentToken, nextUse, requireUsable, takeUse } from './enrolment-tokens.ts'
import { instant, type Registry } from './registry.ts'
import type { Versioned } from './versioned.ts'

/**
 * A machine becomes an endpoint. In this order, so that it may die on any line and be repeated with the same token and
 * public key, as often as it takes:
 *
 * 1. the endpoint's document, `enrolling`, under an id that follows from token and public key: the repeat finds it;
 * 2. the claims of machine and name, which pass over to somebody else if this enrolment is never finished;
 * 3. one use of the token, which the repeat finds again;
 * 4. the endpoint's document, `active`. If somebody revoked it meanwhile, that version's number is taken, and it stays so.
 *
 * An endpoint that enrols again, with a token that is bound to it, gets 2 (its new machine), 3 and 4 (its new key).
 */
export interface EnrolmentRequest {
  readonly token: EnrolmentToken
  /** Ed25519, 64 hex digits. */
  readonly publicKey: string
  /** What the agent says of its machine, 64 hex digits; kept as a keyed hash. */
  readonly machineFingerprint: string
  /** Ignored for an endpoint that enrols again: it keeps its name. */
  readonly name: string
  readonly machine: MachineDescription
}

interface Applicant {
  /** Follows from token and public key. */
  readonly enrolment: Id
  readonly name: string
  readonly publicKey: string
  readonly fingerprint: string
  readonly machine: MachineDescription
}

/**
 * Gives the endpoint, which is active. E_ENROLMENT_TOKEN, and for who knows the secret: E_ENROLMENT_EXPIRED,
 * E_ENROLMENT_REVOKED, E_ENROLMENT_USED_UP; E_ENDPOINT_NAME, E_ENDPOINT_NAME_TAKEN, E_ENDPOINT_DUPLICATE,
 * E_ENDPOINT_REVOKED, E_ENDPOINT_UNKNOWN; E_REGISTRY_CONFLICT.
 */
export async function enrol(registry: Registry, request: EnrolmentRequest): Promise<Versioned<Endpoint>> {
  const { repository } = registry
  const token = await authenticEnrolmentToken(registry, request.token)
  const applicant: Applicant = {
    enrolment: idFromHash(repository.registryHash('enrolment', `${token.token}:${request.publicKey}`)),
    name: requireEndpointName(request.name),
    publicKey: request.publicKey,
    fingerprint: repository.registryHash('machine', request.machineFingerprint),
    machine: request.machine,
  }
  const { endpoint } = token
  return await whileOthersAreFaster(() =>
    endpoint === null ? enrolNew(registry, token, applicant) : enrolAgain(registry, token, endpoint, applicant),
  )
}

async function enrolNew(
  registry: Registry,
  token: EnrolmentTokenDocument,
  applicant: Applicant,
): Promise<Versioned<Endpoint>> {
  const { endpoints, repository } = registry
  const id = applicant.enrolment
  const own = await endpoints.latest(id)
  if (own !== undefined && own.document.state !== 'enrolling') return await finished(registry, own, applicant)
  requireUsable(token, await repository.store.now())

  const begun = own === undefined ? await begin(registry, token, applicant) : await beginAgain(registry, own, applicant)
  await takeClaim(registry, machineClaim(applicant.fingerprint), id)
  await takeClaim(registry, nameClaim(registry, applicant.name), id)
  const use = await takeUse(registry, token, { enrolment: id, endpoint: id, firstUse: begun.document.use })
  const nowAt = instant(await repository.store.now())
  return await endpoints.append(id, begun.version, {
    ...begun.document,
    state: 'active',
    use,
    enrolledAt: nowAt,
    changedAt: nowAt,
  })
}

/** What can be refused is refused before anything is written. */
async function begin(
  registry: Registry,
  token: EnrolmentTokenDocument,
  { enrolment, ...described }: Applicant,
): Promise<Versioned<Endpoint>> {
  await requireFree(registry, machineClaim(described.fingerprint), enrolment)
  await requireFree(registry, nameClaim(registry, described.name), enrolment)
  const use = await nextUse(registry, token)
  const nowAt = instant(await registry.repository.store.now())
  return await registry.endpoints.create(enrolment, {
    strata: 'endpoint',
    version: 1,
    endpoint: enrolment,
    ...described,
    state: 'enrolling',
    token: token.token,
    use,
    enrolledAt: nowAt,
    changedAt: nowAt,
    note: token.note,
  })
}

/** The repeat may come with another name, since the first one was taken. */
async function beginAgain(
  registry: Registry,
  own: Versioned<Endpoint>,
  { name, fingerprint, machine }: Applicant,
): Promise<Versioned<Endpoint>> {
  if (own.document.name === name && own.document.fingerprint === fingerprint) return own
  return await registry.endpoints.append(own.id, own.version, { ...own.document, name, fingerprint, machine })
}

/** The same enrolment has come to its end before, and only its answer was lost; or it came to another end. */
async function finished(
  registry: Registry,
  own: Versioned<Endpoint>,
  { publicKey }: Applicant,
): Promise<Versioned<Endpoint>> {
  const { document } = own
  if (document.state === 'revoked') throw await whyRevoked(registry, own)
  if (document.publicKey !== publicKey) throw taken(machineClaim(document.fingerprint), own)
  await registry.endpoints.settle(own.id, own.version)
  return own
}

/** By an operator, or by another enrolment of the same machine or name that took over. */
async function whyRevoked(registry: Registry, { id, document }: Versioned<Endpoint>): Promise<StrataError> {
  for (const claim of [machineClaim(document.fingerprint), nameClaim(registry, document.name)]) {
    const holder = await holderOf(registry, claim)
    if (holder !== undefined && holder.id !== id && holder.document.state !== 'revoked') return taken(claim, holder)
  }
  return new StrataError('E_ENDPOINT_REVOKED', `endpoint ${id} ('${document.name}') was revoked`)
}

/** After a reinstall, or on another machine: the endpoint keeps its id, its name and its sets. */
async function enrolAgain(
  registry: Registry,
  token: EnrolmentTokenDocument,
  endpoint: Id,
  { enrolment, publicKey, fingerprint, machine }: Applicant,
): Promise<Versioned<Endpoint>> {
  const { endpoints, repository } = registry
  const known = await endpoints.latest(endpoint)
  if (known === undefined) throw new StrataError('E_ENDPOINT_UNKNOWN', `there is no endpoint ${endpoint} any more`)
  if (known.document.state !== 'active') throw await whyRevoked(registry, known)
  if (known.document.publicKey === publicKey && known.document.token === token.token) {
    await endpoints.settle(known.id, known.version)
    return known
  }
  requireUsable(token, await repository.store.now())
  await takeClaim(registry, machineClaim(fingerprint), endpoint)
  const use = await takeUse(registry, token, { enrolment, endpoint, firstUse: 1 })
  // An enrolment that another one has followed does not take its endpoint back by being repeated.
  if (known.document.token === token.token && use < known.document.use) throw taken(machineClaim(fingerprint), known)
  return await endpoints.append(endpoint, known.version, {
    ...known.document,
    publicKey,
    fingerprint,
    machine,
    token: token.token,
    use,
    changedAt: instant(await repository.store.now()),
  })
}
