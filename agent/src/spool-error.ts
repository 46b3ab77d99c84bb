import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'

/** What it means that a system call on the spool file of a segment failed. */
export function spoolError(path: string, error: unknown): StrataError {
  const reason = systemErrorCode(error) ?? String(error)
  return new StrataError('E_HANDOVER_SPACE', `a segment could not be written to ${path}: ${reason}`, { cause: error })
}
