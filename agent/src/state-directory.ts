import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'

export function makeStateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw stateUnwritable(path, error)
  }
}

export function stateUnwritable(path: string, error: unknown): StrataError {
  if (error instanceof StrataError) return error
  const reason = systemErrorCode(error) ?? String(error)
  return new StrataError('E_STATE_UNWRITABLE', `${path} could not be written: ${reason}`, { cause: error })
}

/** A new name is durable only with its directory; not every system can open one. */
export function syncDirectory(path: string): void {
  if (process.platform === 'win32') return
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
