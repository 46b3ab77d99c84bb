import type { Sectors } from './sectors.ts'

/** Kind and UUID of a file system (or container) that begins at offset 0; the notation of the UUID is that of blkid, in lower case. */
export function filesystemOf(sectors: Sectors): string | null {
  for (const probe of probes) {
    const found = probe(sectors)
    if (found !== null) return found
  }
  return null
}

type Probe = (sectors: Sectors) => string | null

function has(sectors: Sectors, offset: number, mark: string): boolean {
  return sectors.read(offset, mark.length).equals(Buffer.from(mark, 'latin1'))
}

function named(kind: string, id: string | null): string | null {
  return id === null ? null : `${kind}:${id}`
}

function uuidAt(sectors: Sectors, offset: number): string | null {
  const bytes = sectors.read(offset, 16)
  if (bytes.every((byte) => byte === 0)) return null
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

const luks: Probe = (sectors) => {
  if (!has(sectors, 0, 'LUKS\xba\xbe')) return null
  const uuid = asciiAt(sectors, 168, 40)
  return named('luks', uuid)
}

function asciiAt(sectors: Sectors, offset: number, length: number): string | null {
  const text = sectors.read(offset, length).toString('latin1').replace(/\0.*$/s, '')
  return /^[0-9A-Za-z-]+$/.test(text) ? text : null
}

/** The label is in one of the first four sectors, and its header says where the UUID is. */
const lvm: Probe = (sectors) => {
  for (let sector = 0; sector < 4; sector += 1) {
    const at = sector * 512
    if (!has(sectors, at, 'LABELONE') || !has(sectors, at + 24, 'LVM2 001')) continue
    const headerAt = sectors.read(at + 20, 4).readUInt32LE(0)
    const id = headerAt + 32 <= 512 ? asciiAt(sectors, at + headerAt, 32) : null
    // Case matters in these.
    if (id?.length === 32)
      return `lvm:${id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7')}`
  }
  return null
}

const xfs: Probe = (sectors) => (has(sectors, 0, 'XFSB') ? named('xfs', uuidAt(sectors, 32)) : null)

const btrfsAt = 64 * 1024
const btrfs: Probe = (sectors) =>
  has(sectors, btrfsAt + 64, '_BHRfS_M') ? named('btrfs', uuidAt(sectors, btrfsAt + 32)) : null

const extAt = 1024
const extCompatJournal = 0x4
/** extents, 64bit, flex_bg, inline_data: what only ext4 has. */
const extIncompat4 = 0x40 | 0x80 | 0x200 | 0x8000
const ext: Probe = (sectors) => {
  const superblock = sectors.read(extAt, 256)
  if (superblock.readUInt16LE(0x38) !== 0xef53) return null
  const journal = (superblock.readUInt32LE(0x5c) & extCompatJournal) !== 0
  const kind = (superblock.readUInt32LE(0x60) & extIncompat4) !== 0 ? 'ext4' : journal ? 'ext3' : 'ext2'
  return named(kind, uuidAt(sectors, extAt + 0x68))
}

const ntfs: Probe = (sectors) => {
  if (!has(sectors, 3, 'NTFS    ')) return null
  const serial = sectors.read(0x48, 8).reverse()
  return named('ntfs', serial.toString('hex'))
}

const exfat: Probe = (sectors) => (has(sectors, 3, 'EXFAT   ') ? named('exfat', fatSerialAt(sectors, 100)) : null)

const fatExtendedMark = 0x29
const fat: Probe = (sectors) => {
  for (const [kindAt, kinds, serialAt] of [
    [82, ['FAT32   '], 67],
    [54, ['FAT12   ', 'FAT16   ', 'FAT     '], 39],
  ] as const) {
    if (!kinds.some((kind) => has(sectors, kindAt, kind))) continue
    if (sectors.read(serialAt - 1, 1)[0] === fatExtendedMark) return named('vfat', fatSerialAt(sectors, serialAt))
  }
  return null
}

function fatSerialAt(sectors: Sectors, offset: number): string {
  const hex = sectors.read(offset, 4).reverse().toString('hex')
  return `${hex.slice(0, 4)}-${hex.slice(4)}`
}

const swapPageBytes = [4096, 8192, 16384, 65536] as const
const swap: Probe = (sectors) => {
  const found = swapPageBytes.some((bytes) => has(sectors, bytes - 10, 'SWAPSPACE2'))
  return found ? named('swap', uuidAt(sectors, 1036)) : null
}

const probes: readonly Probe[] = [luks, lvm, xfs, btrfs, ext, ntfs, exfat, fat, swap]

/** Whether a first sector is a boot sector of FAT, exFAT or NTFS. */
export function hasFatOrNtfsBoot(sector: Buffer): boolean {
  const mark = (at: number, text: string): boolean => sector.toString('latin1', at, at + text.length) === text
  return mark(3, 'NTFS    ') || mark(3, 'EXFAT   ') || mark(82, 'FAT32') || mark(54, 'FAT1') || mark(54, 'FAT ')
}
