import { invariant, StrataError } from '../errors.ts'
import { blockBytesMax } from '../limits.ts'
import { idBytes, idFromBytes, idToBytes, type KeyId } from '../types.ts'
import { damaged, requireLength, requireZero, viewOf } from './bytes.ts'
import { digestBytes } from './digest.ts'
import { nonceBytes, tagBytes } from './xaes.ts'

/**
 * One block, compressed and sealed. docs/format.md, "Record".
 *
 * A record is bound to its content (the block's digest is authenticated with it) and to its key's id, never to a
 * place: copied to another pack it opens as well as before.
 */
export const recordVersion = 1
export const codecStored = 0
export const codecZstd = 1

const versionAt = 0
const codecAt = 1
const reservedAt = 2
const plainBytesAt = 4
const keyIdAt = 8
const nonceAt = keyIdAt + idBytes
const sealedAt = nonceAt + nonceBytes

/** The part of the header that is authenticated. */
const authenticatedBytes = nonceAt
export const recordHeaderBytes = sealedAt
export const recordOverheadBytes = recordHeaderBytes + tagBytes
export const recordBytesMax = recordOverheadBytes + blockBytesMax

const context = Buffer.from('strata/record/v1', 'latin1')
export const recordAadBytes = context.length + authenticatedBytes + digestBytes

invariant(recordHeaderBytes === 48 && recordAadBytes === 72, 'docs/format.md states these numbers')

export interface RecordHeader {
  readonly codec: number
  /** Bytes of the block before compression. */
  readonly plainBytes: number
  readonly keyId: KeyId
  /** Views into the record. */
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

/** Writes a header at `offset`; the sealed bytes follow at `offset + recordHeaderBytes`. */
export function writeRecordHeader(
  target: Uint8Array,
  offset: number,
  header: { codec: number; plainBytes: number; keyIdBytes: Uint8Array; nonce: Uint8Array },
): void {
  const view = viewOf(target)
  view.setUint8(offset + versionAt, recordVersion)
  view.setUint8(offset + codecAt, header.codec)
  view.setUint16(offset + reservedAt, 0, true)
  view.setUint32(offset + plainBytesAt, header.plainBytes, true)
  target.set(header.keyIdBytes, offset + keyIdAt)
  target.set(header.nonce, offset + nonceAt)
}

export function decodeRecord(record: Uint8Array): RecordHeader {
  const what = 'record'
  requireLength(what, record, recordOverheadBytes)
  const view = viewOf(record)
  const version = view.getUint8(versionAt)
  if (version > recordVersion) {
    throw new StrataError(
      'E_FORMAT_NEWER',
      `${what}: version ${String(version)}, and this program reads up to ${String(recordVersion)}`,
    )
  }
  if (version !== recordVersion) throw damaged(what, `version ${String(version)} never existed`)
  const codec = view.getUint8(codecAt)
  if (codec !== codecStored && codec !== codecZstd) throw damaged(what, `codec ${String(codec)} is unknown`)
  requireZero(what, view.getUint16(reservedAt, true))
  const plainBytes = view.getUint32(plainBytesAt, true)
  if (plainBytes === 0 || plainBytes > blockBytesMax) throw damaged(what, `a block of ${String(plainBytes)} bytes`)
  const sealed = record.subarray(sealedAt)
  if (codec === codecStored && sealed.length !== plainBytes + tagBytes) throw damaged(what, 'lengths disagree')
  if (codec === codecZstd && sealed.length >= plainBytes + tagBytes)
    throw damaged(what, 'compressed to no less than its plain length')
  return {
    codec,
    plainBytes,
    keyId: idFromBytes<KeyId>(record.subarray(keyIdAt, nonceAt)),
    nonce: record.subarray(nonceAt, sealedAt),
    sealed,
  }
}

/** The key id that a record names, nothing of it checked: whoever decodes the record elsewhere needs that key there. */
export function peekKeyId(record: Uint8Array): KeyId {
  requireLength('record', record, recordOverheadBytes)
  return idFromBytes<KeyId>(record.subarray(keyIdAt, nonceAt))
}

/** What is authenticated beside the sealed bytes: context, header up to the nonce, digest of the block. */
export function recordAad(header: Uint8Array, digest: Uint8Array): Uint8Array {
  const aad = new Uint8Array(recordAadBytes)
  aad.set(context, 0)
  aad.set(header.subarray(0, authenticatedBytes), context.length)
  aad.set(digest, context.length + authenticatedBytes)
  return aad
}

export function keyIdToBytes(keyId: KeyId): Uint8Array {
  return idToBytes(keyId)
}
