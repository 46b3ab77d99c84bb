import { StrataError, systemErrorCode } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'

/** What a system error means for a store in a directory, whatever was being done. */
const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'E_STORE_FULL',
  EDQUOT: 'E_STORE_FULL',
  EROFS: 'E_STORE_READ_ONLY',
  EACCES: 'E_STORE_DENIED',
  EPERM: 'E_STORE_DENIED',
  ELOOP: 'E_STORE_LINK',
  EMFILE: 'E_STORE_BUSY',
  ENFILE: 'E_STORE_BUSY',
  EAGAIN: 'E_STORE_BUSY',
  ENOMEM: 'E_STORE_BUSY',
  // a network file system whose server is away
  ETIMEDOUT: 'E_STORE_UNREACHABLE',
  EHOSTDOWN: 'E_STORE_UNREACHABLE',
  EHOSTUNREACH: 'E_STORE_UNREACHABLE',
  ENOTCONN: 'E_STORE_UNREACHABLE',
  ESTALE: 'E_STORE_UNREACHABLE',
}

/**
 * Turns an error of Node's file calls into a coded one; a StrataError passes unchanged.
 * @param doing what failed, with the names: `writing packs/x in file:///store`
 */
export function directoryError(error: unknown, doing: string): StrataError {
  if (error instanceof StrataError) return error
  const system = systemErrorCode(error)
  if (system === undefined) throw error
  return new StrataError(codes[system] ?? 'E_STORE_IO', `${doing} failed: ${system}`, {
    cause: error,
    details: { system },
  })
}

/** The same where something is created: having no permission to write makes a store read-only, not closed. */
export function directoryWriteError(error: unknown, doing: string): StrataError {
  const system = systemErrorCode(error)
  if (system === 'EACCES' || system === 'EPERM') {
    const message = `${doing} failed: ${system}, this user may not write there`
    return new StrataError('E_STORE_READ_ONLY', message, { cause: error, details: { system } })
  }
  return directoryError(error, doing)
}

export function isSystemError(error: unknown, ...systemCodes: readonly string[]): boolean {
  const system = systemErrorCode(error)
  return system !== undefined && systemCodes.includes(system)
}
