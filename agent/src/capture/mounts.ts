import { readFileSync, statSync } from 'node:fs'
import { systemErrorCode } from '@strata/shared/errors.ts'
import { deviceNumber, type DeviceNumber } from './block-device.ts'

/** A file system that this machine may write to right now. */
export interface WritableMount {
  readonly device: DeviceNumber
  readonly place: string
}

/** Fields of a line of /proc/self/mountinfo; proc_pid_mountinfo(5). */
const deviceField = 2
const placeField = 4
const separator = '-'

/** Every file system mounted for writing; none on systems without /proc. */
export function writableMounts(): WritableMount[] {
  return parseMounts(readIfThere('/proc/self/mountinfo') ?? '')
}

export function parseMounts(mountinfo: string): WritableMount[] {
  const mounts: WritableMount[] = []
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ')
    const [, source, superOptions] = fields.slice(fields.indexOf(separator) + 1)
    const device = fields[deviceField]
    const place = fields[placeField]
    if (device === undefined || place === undefined || source === undefined || superOptions === undefined) continue
    // A mount may be read-only while another one of the same file system writes; the file system's own option counts.
    if (!superOptions.split(',').includes('rw')) continue
    mounts.push({ device: realDevice(device, unescaped(source)), place: unescaped(place) })
  }
  return mounts
}

/** File systems over several devices (btrfs) have a number of their own, beginning with 0, and name one device. */
function realDevice(device: DeviceNumber, source: string): DeviceNumber {
  if (!device.startsWith('0:') || !source.startsWith('/dev/')) return device
  try {
    const stats = statSync(source, { bigint: true })
    return stats.isBlockDevice() ? deviceNumber(stats.rdev) : device
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    return device
  }
}

/** Spaces, tabs, line ends and backslashes are written as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw error
  }
}
