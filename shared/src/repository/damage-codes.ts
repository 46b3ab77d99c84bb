import type { ErrorCode } from '../errors.ts'

/** What says of stored bytes that they are bad or gone, whoever reads them and what for. */
export const damageCodes = [
  'E_OBJECT_MISSING',
  'E_OBJECT_TRUNCATED',
  'E_OBJECT_ARCHIVED',
  'E_FORMAT_DAMAGED',
  'E_FORMAT_KIND',
  'E_SEAL_BROKEN',
  'E_DIGEST_MISMATCH',
] as const satisfies readonly ErrorCode[]
