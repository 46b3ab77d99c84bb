import { constants } from 'node:os'
import { StrataError } from '@strata/shared/errors.ts'
import { koffi } from '@strata/shared/system/libc.ts'

/**
 * lseek(2): where data and holes begin, and where a device ends. The place where the descriptor stands moves; nobody
 * else relies on it.
 */
const seekEndWhence = 2
const seekDataWhence = 3
const seekHoleWhence = 4
const cannotTell: readonly number[] = [constants.errno.EINVAL, constants.errno.EOPNOTSUPP]

interface Seeker {
  readonly lseek: (fd: number, offset: number, whence: number) => number | bigint
  readonly errno: () => number
}

let loaded: Seeker | undefined

function seeker(): Seeker {
  if (loaded === undefined) {
    const { load, errno } = koffi()
    const lseek = load(null).func('int64_t lseek(int fd, int64_t offset, int whence)') as unknown as Seeker['lseek']
    loaded = { lseek, errno: () => errno() }
  }
  return loaded
}

/** The place, or the number of the error as a negative number. */
function seek(fd: number, offset: number, whence: number): number {
  const place = Number(seeker().lseek(fd, offset, whence))
  return place >= 0 ? place : -seeker().errno()
}

/** Place of the first data at or after `offset`; null when only holes follow, undefined when the file system cannot tell. */
export function seekData(fd: number, offset: number): number | null | undefined {
  const place = seek(fd, offset, seekDataWhence)
  if (place >= 0) return place
  if (place === -constants.errno.ENXIO) return null
  if (cannotTell.includes(-place)) return undefined
  throw seekError(-place, offset)
}

/** Place of the first hole at or after `offset`, at the latest the end; undefined when the file system cannot tell. */
export function seekHole(fd: number, offset: number): number | undefined {
  const place = seek(fd, offset, seekHoleWhence)
  if (place >= 0) return place
  // The file has become shorter than `offset`; reading it will say so.
  if (place === -constants.errno.ENXIO || cannotTell.includes(-place)) return undefined
  throw seekError(-place, offset)
}

/** Place of the end, in bytes. */
export function seekEnd(fd: number): number {
  const place = seek(fd, 0, seekEndWhence)
  if (place < 0) throw seekError(-place, 0)
  return place
}

function seekError(errno: number, offset: number): StrataError {
  const message = `seeking at byte ${String(offset)} of the source failed with system error ${String(errno)}`
  return new StrataError('E_SOURCE_UNREADABLE', message, { details: { offset, errno } })
}
