import { StrataError, systemErrorCode, type ErrorCode } from '@strata/shared/errors.ts'

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'E_TARGET_FULL',
  EDQUOT: 'E_TARGET_FULL',
  EFBIG: 'E_TARGET_FULL',
  EBUSY: 'E_TARGET_MOUNTED',
  EEXIST: 'E_TARGET_EXISTS',
}

/** What a system error means for a target. `doing` says what failed, with the path: `writing /dev/sdb`. */
export function targetFailure(system: string, doing: string, cause?: unknown): StrataError {
  return new StrataError(codes[system] ?? 'E_TARGET_UNWRITABLE', `${doing} failed: ${system}`, {
    cause,
    details: { system },
  })
}

/** The same for an error of Node's file calls; a StrataError passes unchanged. */
export function targetError(error: unknown, doing: string): StrataError {
  if (error instanceof StrataError) return error
  const system = systemErrorCode(error)
  if (system === undefined) throw error
  return targetFailure(system, doing, error)
}
