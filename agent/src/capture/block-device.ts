import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemErrorCode } from '@strata/shared/errors.ts'
import { seekEnd } from './seek.ts'

/** What Linux tells of a block device under /sys. A device is named by its numbers, `major:minor`. */
export type DeviceNumber = string

const sectorBytes = 512
/** Fields of /sys/dev/block/N/stat; Documentation/block/stat.rst of the kernel. A discard is no write there. */
const sectorCountFields = { written: 6, discarded: 13 } as const
type SectorCount = keyof typeof sectorCountFields
export const sectorCounts: readonly SectorCount[] = ['written', 'discarded']

export function deviceNumber(rdev: bigint): DeviceNumber {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)
  return `${String(major)}:${String(minor)}`
}

/** Size by /sys; where that is not mounted, by seeking to the end. */
export function deviceBytes(device: DeviceNumber, fd: number): number {
  const sectors = readFact(`${folderOf(device)}/size`)
  return sectors === null ? seekEnd(fd) : Number(sectors) * sectorBytes
}

/** Content of a file of /sys; null where there is no such file: not every device has every one. */
function readFact(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO'].includes(systemErrorCode(error) ?? '')
}

function folderOf(device: DeviceNumber): string {
  return `/sys/dev/block/${device}`
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

function partitionsOf(folder: string): string[] {
  return entriesOf(folder)
    .map((entry) => join(folder, entry))
    .filter((entry) => readFact(join(entry, 'partition')) !== null)
}

/** The device, its partitions, and what is built on any of them (device mapper, RAID), however deep. */
export function devicesOn(device: DeviceNumber): Set<DeviceNumber> {
  const found = new Set<DeviceNumber>()
  const visit = (folder: string): void => {
    const number = readFact(join(folder, 'dev'))
    if (number === null || found.has(number)) return
    found.add(number)
    for (const partition of partitionsOf(folder)) visit(partition)
    for (const holder of entriesOf(join(folder, 'holders'))) visit(`/sys/class/block/${holder}`)
  }
  visit(folderOf(device))
  return found
}

/**
 * Sectors of the device written or discarded since the machine started, by whichever way: a whole disk counts what goes
 * to its partitions, and a partition leaves out what goes past it to the whole disk, which is therefore counted here
 * too. Null where the kernel keeps no count.
 */
export function sectorsCounted(
  device: DeviceNumber,
  count: SectorCount,
): { device: number; wholeDiskDirectly: number } | null {
  const folder = folderOf(device)
  const own = sectorsAt(folder, count)
  if (own === null) return null
  if (readFact(join(folder, 'partition')) === null) return { device: own, wholeDiskDirectly: 0 }
  const whole = dirname(realpathSync(folder))
  let direct = sectorsAt(whole, count) ?? 0
  for (const partition of partitionsOf(whole)) direct -= sectorsAt(partition, count) ?? 0
  return { device: own, wholeDiskDirectly: direct }
}

function sectorsAt(folder: string, count: SectorCount): number | null {
  const field = readFact(join(folder, 'stat'))?.split(/\s+/)[sectorCountFields[count]]
  return field === undefined ? null : Number(field)
}

/** Writes that the device was given and has not done yet: they count in `sectorsCounted` only when they are done. */
export function writesUnderWay(device: DeviceNumber): number {
  return Number(readFact(join(folderOf(device), 'inflight'))?.split(/\s+/)[1] ?? 0)
}

/**
 * Which device this is, of all that this machine ever has under its number: the system numbers them anew with each one
 * that appears, from its start on. Null where the kernel does not say it (before Linux 5.15).
 */
export function instanceOf(device: DeviceNumber): string | null {
  const folder = folderOf(device)
  const whole = readFact(join(folder, 'partition')) === null ? folder : dirname(realpathSync(folder))
  const sequence = readFact(join(whole, 'diskseq'))
  const boot = readFact('/proc/sys/kernel/random/boot_id')
  return sequence === null || boot === null ? null : `${boot} ${device} ${sequence}`
}

/** The file that a loop device stands for; null for other devices. */
export function loopFile(device: DeviceNumber): string | null {
  return readFact(`${folderOf(device)}/loop/backing_file`)
}

/** Loop devices that stand for the file `path` (a real path). */
export function loopsOf(path: string): DeviceNumber[] {
  return entriesOf('/sys/class/block')
    .filter((entry) => entry.startsWith('loop') && readFact(`/sys/class/block/${entry}/loop/backing_file`) === path)
    .map((entry) => readFact(`/sys/class/block/${entry}/dev`))
    .filter((number) => number !== null)
}
