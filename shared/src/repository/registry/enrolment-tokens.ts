import { hasCode, invariant, StrataError } from '../../errors.ts'
import { enrolmentSecretBytes, EnrolmentToken } from '../../format/enrolment-token-text.ts'
import type { EnrolmentTokenDocument } from '../../format/enrolment-token.ts'
import { boundEnrolmentUsesMax, enrolmentLifeMsMax, enrolmentLifeMsMin, enrolmentUsesMax } from '../../limits.ts'
import { idBytes, idFromBytes, type EndpointId, type EnrolmentTokenId, type Id } from '../../types.ts'
import { whileOthersAreFaster } from './change.ts'
import { findDocument } from './find.ts'
import { instant, type Registry } from './registry.ts'
import type { Versioned } from './versioned.ts'

export interface NewEnrolmentToken {
  readonly lifeMs: number
  readonly usesMax: number
  /** An endpoint that it is only good for; null: for new ones. */
  readonly endpoint: EndpointId | null
  readonly note: string
}

export interface CreatedEnrolmentToken {
  /** With the secret, which is kept nowhere. */
  readonly token: EnrolmentToken
  readonly document: EnrolmentTokenDocument
}

/** Uses and life out of bounds: E_LIMIT. */
export async function createEnrolmentToken(
  registry: Registry,
  wanted: NewEnrolmentToken,
): Promise<CreatedEnrolmentToken> {
  requireWithinLimits(wanted)
  const { repository } = registry
  const id = idFromBytes<EnrolmentTokenId>(repository.random(idBytes))
  const token = new EnrolmentToken(repository.tenant, id, repository.random(enrolmentSecretBytes))
  const nowMs = await repository.store.now()
  const document: EnrolmentTokenDocument = {
    strata: 'enrolment-token',
    version: 1,
    token: id,
    secretHash: token.secretHash(),
    createdAt: instant(nowMs),
    expiresAt: instant(nowMs + wanted.lifeMs),
    usesMax: wanted.usesMax,
    endpoint: wanted.endpoint,
    note: wanted.note,
    revoked: false,
  }
  await registry.tokens.create(id, document)
  return { token, document }
}

function requireWithinLimits({ lifeMs, usesMax, endpoint }: NewEnrolmentToken): void {
  if (lifeMs < enrolmentLifeMsMin || lifeMs > enrolmentLifeMsMax) {
    throw new StrataError('E_LIMIT', 'an enrolment token lives for a minute at least and 366 days at most')
  }
  const most = endpoint === null ? enrolmentUsesMax : boundEnrolmentUsesMax
  if (usesMax < 1 || usesMax > most) {
    const which = endpoint === null ? 'an enrolment token' : 'a token for one endpoint'
    throw new StrataError('E_LIMIT', `${which} is good for 1 to ${String(most)} uses`)
  }
}

/** E_ENROLMENT_UNKNOWN, E_ID_AMBIGUOUS. */
export async function findEnrolmentToken(
  registry: Registry,
  reference: string,
): Promise<Versioned<EnrolmentTokenDocument>> {
  return await findDocument(registry.tokens, reference, { what: 'enrolment token', unknown: 'E_ENROLMENT_UNKNOWN' })
}

/** One that is revoked already stays as it is. Machines that became endpoints by it stay endpoints. */
export async function revokeEnrolmentToken(
  registry: Registry,
  token: Versioned<EnrolmentTokenDocument>,
): Promise<Versioned<EnrolmentTokenDocument>> {
  return await whileOthersAreFaster(async () => {
    const newest = (await registry.tokens.latest(token.id, token)) ?? token
    if (newest.document.revoked) return newest
    return await registry.tokens.append(newest.id, newest.version, { ...newest.document, revoked: true })
  })
}

/**
 * The document of the token that somebody presents. E_ENROLMENT_TOKEN: unknown, of another tenant, or with another
 * secret; nobody learns which.
 */
export async function authenticEnrolmentToken(
  registry: Registry,
  presented: EnrolmentToken,
): Promise<EnrolmentTokenDocument> {
  const isOurs = presented.tenant === registry.repository.tenant
  const found = isOurs ? await registry.tokens.latest(presented.id) : undefined
  // Compared in any case: how long it takes shall not tell either.
  const fits = presented.fits(found?.document.secretHash ?? noHash)
  if (found === undefined || !fits) throw new StrataError('E_ENROLMENT_TOKEN', 'this enrolment token is not known')
  return found.document
}

const noHash = '0'.repeat(64)

/** For who has shown its secret: E_ENROLMENT_REVOKED, E_ENROLMENT_EXPIRED. @param nowMs by the store's clock */
export function requireUsable(token: EnrolmentTokenDocument, nowMs: number): void {
  if (token.revoked) throw new StrataError('E_ENROLMENT_REVOKED', 'this enrolment token was revoked')
  if (nowMs >= Date.parse(token.expiresAt)) {
    throw new StrataError('E_ENROLMENT_EXPIRED', `this enrolment token has expired: ${token.expiresAt}`)
  }
}

/** The use that is free next; another may be faster. None: E_ENROLMENT_USED_UP. */
export async function nextUse(registry: Registry, token: EnrolmentTokenDocument): Promise<number> {
  const next = (await registry.uses.newestVersion(token.token)) + 1
  if (next > token.usesMax) throw usedUp(token)
  return next
}

export interface Use {
  readonly enrolment: Id
  readonly endpoint: Id
  /** No use before it is this enrolment's. */
  readonly firstUse: number
}

/**
 * Takes one use of the token, in the order of their numbers. A use that this enrolment has taken before is found again:
 * it costs no other one. Gives its number. E_ENROLMENT_USED_UP.
 */
export async function takeUse(registry: Registry, token: EnrolmentTokenDocument, use: Use): Promise<number> {
  const id = token.token
  for (let number = use.firstUse; number <= token.usesMax; number += 1) {
    if (await tookUse(registry, id, number, use)) return number
    const taken = await registry.uses.read(id, number)
    if (taken?.document.enrolment !== use.enrolment) continue
    await registry.uses.settle(id, number)
    return number
  }
  throw usedUp(token)
}

async function tookUse(registry: Registry, token: Id, number: number, { enrolment, endpoint }: Use): Promise<boolean> {
  invariant(number >= 1, 'uses are counted from 1')
  const usedAt = instant(await registry.repository.store.now())
  try {
    await registry.uses.append(token, number - 1, {
      strata: 'token-use',
      version: 1,
      token,
      enrolment,
      endpoint,
      usedAt,
    })
    return true
  } catch (error) {
    if (hasCode(error, 'E_REGISTRY_CONFLICT')) return false
    throw error
  }
}

function usedUp({ usesMax }: EnrolmentTokenDocument): StrataError {
  return new StrataError(
    'E_ENROLMENT_USED_UP',
    usesMax === 1
      ? 'this enrolment token was used already'
      : `this enrolment token was used ${String(usesMax)} times, as often as it may be`,
  )
}

/** How often each token was used; those that were never used are not there. One listing. */
export async function countUses(registry: Registry): Promise<ReadonlyMap<Id, number>> {
  const uses = new Map<Id, number>()
  for await (const { id, version } of registry.uses.newestVersions()) uses.set(id, version ?? 0)
  return uses
}
