import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import { uploadStream } from './http-transfer.ts'
import { byteCount } from './object-errors.ts'
import type { S3Location } from './store-url.ts'

export interface S3Body {
  readonly Body: Readable
  readonly ContentLength: number
  readonly ChecksumCRC32?: string
  readonly ContentMD5?: string
}

/** What is uploaded as an object, or as a part of one. */
export function s3Body(parts: readonly Uint8Array[], checksums: S3Location['checksums'], progress: () => void): S3Body {
  return {
    Body: uploadStream(parts, progress),
    ContentLength: byteCount(parts),
    ...(checksums === 'when_supported' ? { ChecksumCRC32: checksumOf(parts) } : {}),
  }
}

/** What is put with a lock must have a checksum of some kind: the one that every server knows. */
export function lockedBodyChecksum(
  parts: readonly Uint8Array[],
  checksums: S3Location['checksums'],
): Pick<S3Body, 'ContentMD5'> {
  if (checksums === 'when_supported') return {}
  const hash = createHash('md5')
  for (const part of parts) hash.update(part)
  return { ContentMD5: hash.digest('base64') }
}

/** Given beforehand, so that the SDK neither copies the body nor sends it in signed chunks, which many servers lack. */
function checksumOf(parts: readonly Uint8Array[]): string {
  let checksum = 0
  for (const part of parts) checksum = crc32(part, checksum)
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(checksum)
  return bytes.toString('base64')
}

const sha256Bytes = 32

/** undefined for what is none of a whole object: that of a multipart upload is made of those of its parts. */
export function sha256Of(header: string | undefined): Uint8Array | undefined {
  const bytes = Buffer.from(header ?? '', 'base64')
  return bytes.byteLength === sha256Bytes && header === bytes.toString('base64') ? new Uint8Array(bytes) : undefined
}
