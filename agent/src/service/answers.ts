import { errorFromDocument, isErrorCode, StrataError } from '@strata/shared/errors.ts'
import { serviceRetryDelayMsMax } from '@strata/shared/limits.ts'

/**
 * The error that an answer tells. A code that this agent does not know comes from a newer service: its words are kept.
 * What is no error document at all was said by something between: a proxy, or a server of somebody else.
 */
export function errorOfAnswer(what: string, status: number, body: Uint8Array, waitMs: number | undefined): StrataError {
  const document = documentIn(body)
  const details = waitMs === undefined ? {} : { retryAfterMs: waitMs }
  if (document === undefined) {
    const message = `${what}: status ${String(status)}`
    if (status === 429 || status === 503) return new StrataError('E_SERVICE_BUSY', message, { details })
    if (status === 407) return refusedByProxy(what, status)
    if (status >= 500) return new StrataError('E_SERVICE_UNREACHABLE', message)
    return new StrataError('E_SERVICE_ANSWER', `${message}, and no reason that Strata gives`)
  }
  if (isErrorCode(document.code)) {
    const error = errorFromDocument(document)
    return new StrataError(error.code, error.message, { hint: error.hint, details: { ...error.details, ...details } })
  }
  const { code, message, hint } = document
  return new StrataError('E_SERVICE_REFUSED', `${what}: ${code}: ${message}`, { hint })
}

export function refusedByProxy(what: string, status: number, cause?: unknown): StrataError {
  return new StrataError('E_SERVICE_PROXY', `${what}: the proxy answers with status ${String(status)}`, { cause })
}

interface ErrorText {
  readonly code: string
  readonly message: string
  readonly hint: string
}

function documentIn(body: Uint8Array): ErrorText | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(body).toString('utf8'))
  } catch {
    // A page of a proxy, or nothing: the status is all there is.
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { code, message, hint } = value as Partial<ErrorText>
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return { ...value, code, message, hint: typeof hint === 'string' ? hint : '' }
}

/** Of a Retry-After header in seconds (RFC 9110, 10.2.3); its other form, a date, is not used by Strata. */
export function retryAfterMs(header: string | string[] | undefined): number | undefined {
  if (typeof header !== 'string' || !/^[0-9]{1,6}$/.test(header)) return undefined
  return Math.min(Number(header) * 1000, serviceRetryDelayMsMax)
}
