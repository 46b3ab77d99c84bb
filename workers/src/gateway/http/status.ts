import type { ErrorCode, StrataError } from '@strata/shared/errors.ts'

/** What an error is in HTTP's words. The code in the body says more; the status is for what stands between. */
const statusOfCode: Partial<Record<ErrorCode, number>> = {
  E_SESSION_UNKNOWN: 404,
  E_SET_UNKNOWN: 404,
  E_ROUTE_UNKNOWN: 404,
  E_TOKEN_INVALID: 401,
  E_TOKEN_EXPIRED: 401,
  E_TOKEN_REPLAYED: 401,
  E_CLOCK_SKEW: 401,
  E_ENDPOINT_REVOKED: 401,
  E_ENROLMENT_TOKEN: 403,
  E_ENROLMENT_EXPIRED: 403,
  E_ENROLMENT_REVOKED: 403,
  E_ENROLMENT_USED_UP: 403,
  E_ENDPOINT_DUPLICATE: 409,
  E_ENDPOINT_NAME_TAKEN: 409,
  E_ENDPOINT_CLONED: 409,
  E_REGISTRY_CONFLICT: 503,
  E_PROTOCOL_VERSION: 426,
  E_SERVICE_BUSY: 429,
  E_REDIS_LOST: 503,
  E_REDIS_REFUSES: 503,
}

export function statusOf({ code, kind }: StrataError): number {
  const known = statusOfCode[code]
  if (known !== undefined) return known
  return kind === 'bug' ? 500 : kind === 'transient' ? 503 : 422
}
