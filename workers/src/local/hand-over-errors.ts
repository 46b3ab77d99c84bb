import { systemErrorCode, StrataError } from '@strata/shared/errors.ts'

/**
 * What a failed system call on `path` in the hand-over directory means; any other error stays as it is. What is not
 * there any more was lost, and can be sent again (E_HANDOVER_LOST); what is there and cannot be read stays so
 * (E_HANDOVER_IO).
 */
export function handOverError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error
  const reason = systemErrorCode(error)
  if (reason === 'ENOENT') return new StrataError('E_HANDOVER_LOST', `${path} is gone`, { cause: error })
  return new StrataError('E_HANDOVER_IO', `${path} cannot be read: ${reason ?? error.message}`, { cause: error })
}
