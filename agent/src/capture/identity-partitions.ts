import { crc32 } from 'node:zlib'
import { hasFatOrNtfsBoot } from './identity-filesystem.ts'
import type { Sectors } from './sectors.ts'

const sectorBytesTried = [512, 4096] as const

// UEFI specification, "GPT Header"
const gptMagic = Buffer.from('EFI PART', 'latin1')
const gptHeaderSizeAt = 12
const gptHeaderCrcAt = 16
const gptGuidAt = 56
const gptHeaderBytesMin = 92

/** GUID of a GPT whose header, the first or the spare one in the last sector, has the right checksum. */
export function gptGuid(sectors: Sectors): string | null {
  for (const sectorBytes of sectorBytesTried) {
    for (const offset of [sectorBytes, sectors.sizeBytes - sectorBytes]) {
      if (offset < sectorBytes || offset + sectorBytes > sectors.sizeBytes) continue
      const guid = guidOfHeader(sectors.read(offset, sectorBytes))
      if (guid !== null) return guid
    }
  }
  return null
}

function guidOfHeader(header: Buffer): string | null {
  if (!gptMagic.equals(header.subarray(0, gptMagic.length))) return null
  const headerBytes = header.readUInt32LE(gptHeaderSizeAt)
  if (headerBytes < gptHeaderBytesMin || headerBytes > header.length) return null
  const checked = Buffer.from(header.subarray(0, headerBytes))
  checked.writeUInt32LE(0, gptHeaderCrcAt)
  if (crc32(checked) !== header.readUInt32LE(gptHeaderCrcAt)) return null
  return mixedEndianGuid(header.subarray(gptGuidAt, gptGuidAt + 16))
}

function mixedEndianGuid(bytes: Buffer): string | null {
  if (bytes.every((byte) => byte === 0)) return null
  const hex = (from: number, to: number): string => bytes.toString('hex', from, to)
  const swapped = (from: number, to: number): string => Buffer.from(bytes.subarray(from, to)).reverse().toString('hex')
  return [swapped(0, 4), swapped(4, 6), swapped(6, 8), hex(8, 10), hex(10, 16)].join('-')
}

const bootMarkAt = 510
const bootMark = 0xaa55
const signatureAt = 440
const tableAt = 446
const tableEntryBytes = 16
const tableEntries = 4
const entryTypeAt = 4

export interface Mbr {
  /** Absent where the table carries none. */
  readonly signature?: string
}

/** The MBR of a disk with a partition table; the boot sectors of FAT and NTFS end with the same mark and are none. */
export function mbrSignature(sectors: Sectors): Mbr | null {
  const sector = sectors.read(0, 512)
  if (sector.readUInt16LE(bootMarkAt) !== bootMark || hasFatOrNtfsBoot(sector)) return null
  let partitions = 0
  for (let entry = 0; entry < tableEntries; entry += 1) {
    const at = tableAt + entry * tableEntryBytes
    if (((sector[at] ?? 0) & 0x7f) !== 0) return null
    if (sector[at + entryTypeAt] !== 0) partitions += 1
  }
  const signature = sector.readUInt32LE(signatureAt)
  if (partitions === 0 && signature === 0) return null
  return signature === 0 ? {} : { signature: signature.toString(16).padStart(8, '0') }
}
