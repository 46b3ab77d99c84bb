import { StrataError } from '../errors.ts'

/**
 * Little-endian fields in byte arrays. Writers trust their caller; readers trust nothing: whoever reads goes through
 * `requireLength` or `requireRange` first, so a damaged or hostile length ends in E_FORMAT_DAMAGED.
 */

export const magic = Buffer.from('STRATA', 'latin1')

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A Buffer over the same memory. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function damaged(what: string, reason: string): StrataError {
  return new StrataError('E_FORMAT_DAMAGED', `${what}: ${reason}`)
}

export function requireLength(what: string, bytes: Uint8Array, lengthBytes: number): void {
  if (bytes.length < lengthBytes) {
    throw damaged(what, `${String(bytes.length)} bytes where at least ${String(lengthBytes)} are needed`)
  }
}

export function requireExactLength(what: string, bytes: Uint8Array, lengthBytes: number): void {
  if (bytes.length !== lengthBytes) {
    throw damaged(what, `${String(bytes.length)} bytes where ${String(lengthBytes)} are needed`)
  }
}

export function requireCount(what: string, count: number, countMax: number): void {
  if (count > countMax) throw damaged(what, `says ${String(count)} where at most ${String(countMax)} can be`)
}

export function requireZero(what: string, value: number): void {
  if (value !== 0) throw damaged(what, 'reserved bytes are not zero')
}

/** Reads 64 bits that must be exact in a double. */
export function readSafeU64(what: string, view: DataView, offset: number): number {
  const value = view.getBigUint64(offset, true)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(what, 'a 64-bit number is out of range')
  return Number(value)
}

/** Checks magic, version and kind at the front of `bytes`; a higher version is E_FORMAT_NEWER. */
export function requirePreamble(what: string, bytes: Uint8Array, version: number, kind?: number): number {
  const found = readPreamble(what, bytes, version, version)
  if (kind !== undefined && found.kind !== kind) {
    throw new StrataError('E_FORMAT_KIND', `${what}: kind ${String(found.kind)} where ${String(kind)} was expected`)
  }
  return found.kind
}

/** Where several versions are read, up to the newest one. */
export function readPreamble(
  what: string,
  bytes: Uint8Array,
  oldest: number,
  newest: number,
): { readonly version: number; readonly kind: number } {
  requireLength(what, bytes, preambleBytes)
  if (!magic.equals(bytes.subarray(0, magic.length))) throw damaged(what, 'does not begin with STRATA')
  const version = bytes[preambleVersionAt] ?? 0
  if (version > newest) {
    throw new StrataError(
      'E_FORMAT_NEWER',
      `${what}: version ${String(version)}, and this program reads up to ${String(newest)}`,
    )
  }
  if (version < oldest) throw damaged(what, `version ${String(version)} never existed`)
  return { version, kind: bytes[preambleKindAt] ?? 0 }
}

const preambleVersionAt = 6
const preambleKindAt = 7
export const preambleBytes = 8

/** Writes magic, version and kind. */
export function writePreamble(target: Uint8Array, offset: number, version: number, kind: number): void {
  target.set(magic, offset)
  target[offset + preambleVersionAt] = version
  target[offset + preambleKindAt] = kind
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let lengthBytes = 0
  for (const part of parts) lengthBytes += part.length
  const joined = new Uint8Array(lengthBytes)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return bufferOf(a).equals(b)
}
