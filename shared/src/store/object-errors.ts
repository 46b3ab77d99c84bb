import { StrataError, invariant } from '../errors.ts'
import type { ByteRange, WholeObject } from './object-store.ts'

/** What a get asks for. */
export interface Wanted {
  /** undefined: the object whole. */
  readonly range: ByteRange | undefined
  /** Of a whole object. */
  readonly bytesMax: number
}

/** A range that no object could have is a bug of the caller. */
export function wantedFrom(part: ByteRange | WholeObject | undefined): Wanted {
  if (part === undefined) return { range: undefined, bytesMax: Infinity }
  if ('bytesMax' in part) return { range: undefined, bytesMax: part.bytesMax }
  checkRange(part)
  return { range: part, bytesMax: Infinity }
}

export function checkRange(range: ByteRange): void {
  invariant(Number.isSafeInteger(range.offset) && range.offset >= 0, `the offset of a range is ${String(range.offset)}`)
  invariant(
    Number.isSafeInteger(range.length) && range.length > 0 && Number.isSafeInteger(range.offset + range.length),
    `the length of a range is ${String(range.length)}`,
  )
}

export function describeRange(range: ByteRange): string {
  return `bytes ${String(range.offset)} to ${String(range.offset + range.length - 1)}`
}

/** An object ends before the range does. `sizeBytes` is undefined where the store does not say it. */
export function truncatedError(where: string, name: string, range: ByteRange, sizeBytes?: number): StrataError {
  const size = sizeBytes === undefined ? 'ends before' : `has only ${String(sizeBytes)} bytes; wanted were`
  return new StrataError('E_OBJECT_TRUNCATED', `${name} in ${where} ${size} ${describeRange(range)}`, {
    details: {
      object: name,
      offset: range.offset,
      length: range.length,
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
    },
  })
}

/** A whole object is longer than what can lie there. `sizeBytes` is undefined where the store does not say it. */
export function tooLongError(where: string, name: string, bytesMax: number, sizeBytes?: number): StrataError {
  const size = sizeBytes === undefined ? `more than ${String(bytesMax)}` : String(sizeBytes)
  return new StrataError(
    'E_FORMAT_DAMAGED',
    `${name} in ${where} has ${size} bytes, and what belongs there has at most ${String(bytesMax)}`,
    { details: { object: name, bytesMax, ...(sizeBytes === undefined ? {} : { sizeBytes }) } },
  )
}

export function missingError(where: string, name: string, cause?: unknown): StrataError {
  return new StrataError('E_OBJECT_MISSING', `${name} is not in ${where}`, { cause, details: { object: name } })
}

export function existsError(where: string, name: string, cause?: unknown): StrataError {
  return new StrataError('E_OBJECT_EXISTS', `${name} is already in ${where}`, { cause, details: { object: name } })
}

export function nestedNameError(inner: string, outer: string, cause?: unknown): StrataError {
  return new StrataError(
    'E_OBJECT_NAME',
    `${outer} and ${inner} cannot both be objects: one is the other's directory`,
    {
      cause,
    },
  )
}

/** @param why in words, as `lockability` has it */
export function noLockError(where: string, why: string): StrataError {
  return new StrataError('E_STORE_NO_LOCK', `nothing can be locked in ${where}: ${why}`)
}

export function byteCount(parts: readonly Uint8Array[]): number {
  let bytes = 0
  for (const part of parts) bytes += part.byteLength
  return bytes
}
