import { createHash, timingSafeEqual, type KeyObject } from 'node:crypto'
import { JOSEError } from 'jose/errors'
import { CompactSign } from 'jose/jws/compact/sign'
import { compactVerify } from 'jose/jws/compact/verify'
import * as v from 'valibot'
import type { RandomBytes } from '../clock.ts'
import { invariant, StrataError } from '../errors.ts'
import { idSchema } from '../format/document.ts'
import { hexText, matching, misfit, wholeNumber, type Fitting } from '../format/schema.ts'
import {
  requestClockSkewMsMax,
  requestTargetCharsMax,
  requestTokenCharsMax,
  requestTokenLifeMs,
  requestTokenLifeMsMax,
} from '../limits.ts'
import { asId, type EndpointId, type Id, type TenantId } from '../types.ts'

/**
 * A token for one request of an agent: a JWS (RFC 7515) in compact form, signed with the endpoint's Ed25519 key, whose
 * claims repeat the request, after DPoP (RFC 9449). Stolen it is good for nothing: it fits one request of one body, lives
 * for two minutes at most, and is taken once (the gateway remembers `jti` for as long as a token lives).
 *
 * Everything that is wrong with a token is E_TOKEN_INVALID, in the same words for an endpoint that is not known as for a
 * signature that is not its own. What is said more exactly (E_TOKEN_EXPIRED, E_CLOCK_SKEW) only the owner of the key
 * hears.
 */
const algorithm = 'EdDSA'
const type = 'strata-request+jwt'
const tokenIdBytes = 16
const digestBytes = 32

const claimsSchema = v.object({
  /** The endpoint. */
  iss: idSchema,
  tenant: idSchema,
  /** The repository. */
  aud: idSchema,
  /** Both in seconds since 1970, by the agent's clock. */
  iat: wholeNumber(0),
  exp: wholeNumber(0),
  /** Random, once. */
  jti: hexText(tokenIdBytes),
  htm: matching(/^[A-Z]{1,10}$/),
  /** Path and query, as the agent sends them behind the service's base URL. */
  htu: v.pipe(matching(/^\/[\x21\x23-\x5b\x5d-\x7e]*$/), v.maxLength(requestTargetCharsMax)),
  /** SHA-256 of the body; of no bytes where there is none. */
  body: hexText(digestBytes),
})
type Claims = Fitting<typeof claimsSchema>

/** Whoever signs. */
export interface RequestSigner {
  readonly endpoint: EndpointId
  readonly tenant: TenantId
  readonly repository: Id
  readonly privateKey: KeyObject
}

/** What is signed. */
export interface SignedRequest {
  readonly method: string
  /** Path and query as they are sent, in ASCII: `/v1/sessions/…?pages=16`; at most `requestTargetCharsMax` characters. */
  readonly target: string
  /** SHA-256 of the body (`digestOfBody`). */
  readonly bodyDigest: Uint8Array
}

export function digestOfBody(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest()
}

/** A token for `request`; each call gives another one. @param nowMs by the agent's clock, put right where it is known to be wrong */
export async function signRequest(
  signer: RequestSigner,
  request: SignedRequest,
  nowMs: number,
  random: RandomBytes,
): Promise<string> {
  const issuedAt = Math.floor(nowMs / 1000)
  const claims: Claims = {
    iss: signer.endpoint,
    tenant: signer.tenant,
    aud: signer.repository,
    iat: issuedAt,
    exp: issuedAt + requestTokenLifeMs / 1000,
    jti: Buffer.from(random(tokenIdBytes)).toString('hex'),
    htm: request.method,
    htu: request.target,
    body: Buffer.from(request.bodyDigest).toString('hex'),
  }
  const problem = misfit(claimsSchema, claims)
  invariant(problem === undefined, `a request that can be signed: ${problem ?? ''}`)
  return await new CompactSign(Buffer.from(JSON.stringify(claims), 'utf8'))
    .setProtectedHeader({ alg: algorithm, typ: type })
    .sign(signer.privateKey)
}

/** Who a token says it is from. Nothing of it is authenticated: it serves to find the key. */
export interface ClaimedOrigin {
  readonly endpoint: EndpointId
  readonly tenant: TenantId
}

/** E_TOKEN_INVALID: this is no token. */
export function originOf(token: string): ClaimedOrigin {
  const claims = claimsOf(payloadOf(token))
  return { endpoint: asId<EndpointId>(claims.iss), tenant: asId<TenantId>(claims.tenant) }
}

/** What the request is that a token came with, and where it came. */
export interface RequestExpectation {
  readonly endpoint: EndpointId
  readonly tenant: TenantId
  readonly repository: Id
  readonly method: string
  readonly target: string
  /** `'comes later'`: the body is not read yet; its digest must be compared (`requireBody`) before it counts. */
  readonly bodyDigest: Uint8Array | 'comes later'
}

export interface VerifiedRequest {
  readonly endpoint: EndpointId
  /** The token's own id: it must not have been seen before. */
  readonly tokenId: string
  /** For how long it must be remembered: after that the token has expired for every gateway. */
  readonly rememberMs: number
  /** What the body has to be. */
  readonly bodyDigest: Uint8Array
}

/**
 * Checks a token against the request that it came with. E_TOKEN_INVALID; E_TOKEN_EXPIRED, E_CLOCK_SKEW for the owner of
 * the key. It does not know which tokens were seen before: that is the replay guard's.
 */
export async function verifyRequest(
  token: string,
  expectation: RequestExpectation,
  publicKey: KeyObject,
  nowMs: number,
): Promise<VerifiedRequest> {
  const claims = claimsOf(await signedPayload(token, publicKey))
  const isFor =
    claims.iss === expectation.endpoint &&
    claims.tenant === expectation.tenant &&
    claims.aud === expectation.repository &&
    claims.htm === expectation.method &&
    claims.htu === expectation.target
  if (!isFor) throw invalid()
  requireNow(claims, nowMs)
  const verified: VerifiedRequest = {
    endpoint: expectation.endpoint,
    tokenId: claims.jti,
    rememberMs: claims.exp * 1000 + requestClockSkewMsMax - nowMs,
    bodyDigest: Buffer.from(claims.body, 'hex'),
  }
  if (expectation.bodyDigest !== 'comes later') requireBody(verified, expectation.bodyDigest)
  return verified
}

/** The body is not the one that was signed: E_TOKEN_INVALID. */
export function requireBody({ bodyDigest }: VerifiedRequest, found: Uint8Array): void {
  if (found.length !== bodyDigest.length || !timingSafeEqual(found, bodyDigest)) throw invalid()
}

/** One error for all: who does not own the key learns nothing from it. */
export function invalid(cause?: unknown): StrataError {
  return new StrataError('E_TOKEN_INVALID', "the request's token is not valid", { cause })
}

function requireNow({ iat, exp }: Claims, nowMs: number): void {
  const [issuedMs, expiresMs] = [iat * 1000, exp * 1000]
  // Also when it was signed so.
  if (expiresMs <= issuedMs || expiresMs - issuedMs > requestTokenLifeMsMax) throw invalid()
  const details = { serviceTime: new Date(nowMs).toISOString(), issuedAtMs: issuedMs }
  if (issuedMs > nowMs + requestClockSkewMsMax) {
    const ahead = Math.round((issuedMs - nowMs) / 1000)
    throw new StrataError(
      'E_CLOCK_SKEW',
      `the request was made ${String(ahead)} s in the future, by the service's clock`,
      {
        details,
      },
    )
  }
  if (nowMs >= expiresMs + requestClockSkewMsMax) {
    const ago = Math.round((nowMs - issuedMs) / 1000)
    throw new StrataError('E_TOKEN_EXPIRED', `the request was made ${String(ago)} s ago, by the service's clock`, {
      details,
    })
  }
}

const part = '[A-Za-z0-9_-]+'
const compactForm = new RegExp(`^${part}\\.(?<payload>${part})\\.${part}$`)

function payloadOf(token: string): Uint8Array {
  const payload = token.length <= requestTokenCharsMax ? compactForm.exec(token)?.groups?.['payload'] : undefined
  if (payload === undefined) throw invalid()
  return Buffer.from(payload, 'base64url')
}

/** Only our own algorithm, our own type, and no header that could ask for anything else. */
async function signedPayload(token: string, publicKey: KeyObject): Promise<Uint8Array> {
  payloadOf(token)
  let verified
  try {
    verified = await compactVerify(token, publicKey, { algorithms: [algorithm] })
  } catch (error) {
    if (!(error instanceof JOSEError)) throw error
    throw invalid(error)
  }
  const { alg, typ, ...others } = verified.protectedHeader
  if (alg !== algorithm || typ !== type || Object.keys(others).length > 0) throw invalid()
  return verified.payload
}

function claimsOf(payload: Uint8Array): Claims {
  let claims: unknown
  try {
    claims = JSON.parse(Buffer.from(payload).toString('utf8'))
  } catch (error) {
    throw invalid(error)
  }
  if (misfit(claimsSchema, claims) !== undefined) throw invalid()
  return claims as Claims
}
