import { StrataError, systemErrorCode } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { storeClockSkewMsMax } from '../limits.ts'
import { BodyLengthError, IdleError } from './http-transfer.ts'

/**
 * What answers and failures of the two cloud stores mean. Invariant: nothing that a server or SDK says goes into a
 * message but a status number, a code of letters, and a request id: an answer may repeat a signature or a key id.
 */
export interface HttpFailure {
  /** HTTP status, or undefined when no answer came. */
  readonly status: number | undefined
  /** The server's name for the error: `NoSuchBucket`. */
  readonly code: string | undefined
  readonly requestId: string | undefined
  /** How far the clock that the request was signed by was ahead of the server's, in ms, where the answer had a date. */
  readonly aheadMs?: number | undefined
}

const byServerCode: Readonly<Record<string, ErrorCode>> = {
  NoSuchBucket: 'E_STORE_MISSING',
  ContainerNotFound: 'E_STORE_MISSING',
  ContainerBeingDeleted: 'E_STORE_MISSING',
  ContainerDisabled: 'E_STORE_MISSING',
  ResourceNotFound: 'E_STORE_MISSING',
  ExpiredToken: 'E_STORE_DENIED',
  InvalidToken: 'E_STORE_DENIED',
  TokenRefreshRequired: 'E_STORE_DENIED',
  RequestTimeTooSkewed: 'E_STORE_CLOCK',
  InvalidObjectState: 'E_OBJECT_ARCHIVED',
  BlobArchived: 'E_OBJECT_ARCHIVED',
  BlobBeingRehydrated: 'E_OBJECT_ARCHIVED',
  QuotaExceeded: 'E_STORE_FULL',
  InsufficientStorage: 'E_STORE_FULL',
  InsufficientCapacity: 'E_STORE_FULL',
  ConditionalRequestConflict: 'E_STORE_BUSY',
  OperationAborted: 'E_STORE_BUSY',
  // Somebody has given it up, perhaps a rule of the bucket: all of it can be begun anew.
  NoSuchUpload: 'E_STORE_BUSY',
  SlowDown: 'E_STORE_BUSY',
  Throttling: 'E_STORE_BUSY',
  ThrottlingException: 'E_STORE_BUSY',
  TooManyRequests: 'E_STORE_BUSY',
  RequestLimitExceeded: 'E_STORE_BUSY',
  ServerBusy: 'E_STORE_BUSY',
  ServiceUnavailable: 'E_STORE_BUSY',
  OperationTimedOut: 'E_STORE_UNREACHABLE',
  RequestTimeout: 'E_STORE_UNREACHABLE',
  InternalError: 'E_STORE_UNREACHABLE',
  // The object's bytes were damaged on their way.
  BadDigest: 'E_STORE_UNREACHABLE',
  Md5Mismatch: 'E_STORE_UNREACHABLE',
  Crc64Mismatch: 'E_STORE_UNREACHABLE',
  IncompleteBody: 'E_STORE_UNREACHABLE',
  // The bucket lives in another region than the URL says.
  PermanentRedirect: 'E_STORE_URL',
  TemporaryRedirect: 'E_STORE_URL',
  AuthorizationHeaderMalformed: 'E_STORE_URL',
  IllegalLocationConstraintException: 'E_STORE_URL',
  // SDK: nothing to sign with
  CredentialsProviderError: 'E_STORE_DENIED',
  TokenProviderError: 'E_STORE_DENIED',
}

const byStatus: Readonly<Record<number, ErrorCode>> = {
  401: 'E_STORE_DENIED',
  403: 'E_STORE_DENIED',
  404: 'E_STORE_MISSING',
  408: 'E_STORE_UNREACHABLE',
  429: 'E_STORE_BUSY',
  // Asking again changes nothing: the server lacks a function, or a version of the protocol.
  501: 'E_STORE_PROTOCOL',
  503: 'E_STORE_BUSY',
  505: 'E_STORE_PROTOCOL',
  507: 'E_STORE_FULL',
}

/** Failures of the network. Everything that is not here (TLS, HTTP syntax) does not pass by waiting. */
const transientNetworkCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EAI_NODATA',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_SOCKET_CLOSED',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
  'UND_ERR_SOCKET',
])

/** For answers with an error, and for failures before one came. @param doing `writing packs/x in s3://bucket` */
export function httpError(error: unknown, failure: HttpFailure, doing: string): StrataError {
  if (error instanceof StrataError) return error
  const { status, code } = failure
  const known = code === undefined ? undefined : byServerCode[code]
  if (known === undefined && status === undefined) return networkError(error, doing)
  const strataCode = known ?? byServerStatus(status)
  const answer = answerText(failure)
  if (strataCode === 'E_STORE_DENIED' && isSkewed(failure)) return clockError(failure, `${doing} failed: ${answer}`)
  return new StrataError(strataCode, `${doing} failed: ${answer}`, {
    details: {
      ...(status === undefined ? {} : { status }),
      ...(code === undefined ? {} : { serverCode: plainWord(code) }),
    },
  })
}

function answerText({ status, code, requestId }: HttpFailure): string {
  return [
    ...(status === undefined ? [] : [`HTTP ${String(status)}`]),
    ...(code === undefined ? [] : [plainWord(code)]),
    ...(requestId === undefined ? [] : [`request ${plainWord(requestId)}`]),
  ].join(', ')
}

/** Few servers say that it was the time they did not like; most only refuse the signature. */
function isSkewed({ status, aheadMs }: HttpFailure): boolean {
  const isRefusal = status === 401 || status === 403
  return isRefusal && aheadMs !== undefined && Math.abs(aheadMs) > storeClockSkewMsMax
}

function clockError({ aheadMs = 0 }: HttpFailure, failed: string): StrataError {
  const minutes = String(Math.round(Math.abs(aheadMs) / 60_000))
  const relation = aheadMs > 0 ? 'ahead of' : 'behind'
  return new StrataError(
    'E_STORE_CLOCK',
    `${failed}; this machine's clock is ${minutes} minutes ${relation} the store's`,
  )
}

function byServerStatus(status: number | undefined): ErrorCode {
  if (status === undefined) return 'E_STORE_PROTOCOL'
  return byStatus[status] ?? (status >= 500 && status < 600 ? 'E_STORE_UNREACHABLE' : 'E_STORE_PROTOCOL')
}

/** No answer came, or it broke off. */
export function networkError(error: unknown, doing: string): StrataError {
  if (error instanceof StrataError) return error
  if (error instanceof IdleError || error instanceof BodyLengthError) {
    return new StrataError('E_STORE_UNREACHABLE', `${doing} failed: ${error.message}`)
  }
  const system = connectionFailure(error)
  if (system !== undefined) {
    return new StrataError('E_STORE_UNREACHABLE', `${doing} failed: ${system}`, { details: { system } })
  }
  if (isTimeout(error)) return new StrataError('E_STORE_UNREACHABLE', `${doing} failed: timed out`)
  const what = networkCode(error) ?? (error instanceof Error ? error.name : typeof error)
  return new StrataError('E_STORE_PROTOCOL', `${doing} failed: ${plainWord(what)}`)
}

/** While a body is read everything that goes wrong is the connection's fault, or the checksum's. */
export function brokenBodyError(error: unknown, doing: string): StrataError {
  const coded = networkError(error, doing)
  if (coded.code !== 'E_STORE_PROTOCOL') return coded
  return new StrataError('E_STORE_UNREACHABLE', `${doing} failed: the answer broke off`)
}

/** The system's code where the connection failed, and not what was said over it. */
export function connectionFailure(error: unknown): string | undefined {
  const system = networkCode(error)
  return system !== undefined && transientNetworkCodes.has(system) ? system : undefined
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')
}

/** With several addresses for a name Node gives an AggregateError, which may have the code only inside. */
function networkCode(error: unknown): string | undefined {
  const own = systemErrorCode(error)
  if (own !== undefined) return own
  if (error instanceof AggregateError) return systemErrorCode(error.errors[0])
  return error instanceof Error && error.cause !== undefined ? systemErrorCode(error.cause) : undefined
}

/** Servers name things in words of letters, digits and dashes; anything else is not repeated. */
function plainWord(word: string): string {
  return /^[A-Za-z0-9._:-]{1,80}$/.test(word) ? word : 'unknown'
}
