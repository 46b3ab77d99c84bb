import { readdir, readFile, stat } from 'node:fs/promises'
import { systemErrorCode } from '@strata/shared/errors.ts'

/** What Linux says of block devices in /proc and /sys: sizes, what lies on what, and who uses it. */

/** Major and minor number: `8:1`. */
export type DeviceNumber = string

const sectorBytes = 512

/** Takes a `st_dev` or `st_rdev` apart as glibc's gnu_dev_major and gnu_dev_minor do. */
export function deviceNumber(device: number): DeviceNumber {
  const bits = BigInt(device)
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)
  const minor = (bits & 0xffn) | ((bits >> 12n) & 0xffffff00n)
  return `${String(major)}:${String(minor)}`
}

/** Undefined when the system does not say. */
export async function deviceSizeBytes(number: DeviceNumber): Promise<number | undefined> {
  const sectors = await readIfThere(`/sys/dev/block/${number}/size`)
  return sectors === undefined ? undefined : Number(sectors) * sectorBytes
}

export interface Mount {
  readonly number: DeviceNumber
  readonly mountPoint: string
  /** `/dev/sda1`, or something else entirely. */
  readonly source: string
}

/** Reads /proc/self/mountinfo; see proc_pid_mountinfo(5). */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [before = '', after = ''] = line.split(' - ', 2)
    const [, , number, , mountPoint] = before.split(' ')
    const [, source] = after.split(' ')
    if (number === undefined || mountPoint === undefined || source === undefined) continue
    mounts.push({ number, mountPoint: unescape(mountPoint), source: unescape(source) })
  }
  return mounts
}

/** Paths in a swap table, one a line after the heading. */
export function parseSwaps(text: string): string[] {
  const lines = text.split('\n').slice(1)
  return lines.map((line) => unescape(line.split(/\s/, 1)[0] ?? '')).filter((path) => path !== '')
}

/** Space, tab, newline and backslash are written as octal escapes there. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

/** A device, its partitions, the disk that it is a partition of, and what is built on any of these. */
export async function deviceFamily(number: DeviceNumber): Promise<Set<DeviceNumber>> {
  const family = new Set<DeviceNumber>()
  await addFamily(number, family)
  if ((await readIfThere(`/sys/dev/block/${number}/partition`)) !== undefined) {
    const disk = (await readIfThere(`/sys/dev/block/${number}/../dev`))?.trim()
    // Of the whole disk itself, not of its other partitions.
    if (disk !== undefined) family.add(disk)
  }
  return family
}

async function addFamily(number: DeviceNumber, family: Set<DeviceNumber>): Promise<void> {
  if (family.has(number)) return
  family.add(number)
  const directory = `/sys/dev/block/${number}`
  for (const name of await namesIn(directory)) {
    if ((await readIfThere(`${directory}/${name}/partition`)) === undefined) continue
    const partition = (await readIfThere(`${directory}/${name}/dev`))?.trim()
    if (partition !== undefined) await addFamily(partition, family)
  }
  for (const name of await namesIn(`${directory}/holders`)) {
    const holder = (await readIfThere(`${directory}/holders/${name}/dev`))?.trim()
    if (holder !== undefined) await addFamily(holder, family)
  }
  for (const { loop, backingFile } of await loopDevices()) {
    if ((await deviceNumberAt(backingFile)) === number) await addFamily(loop, family)
  }
}

export interface LoopDevice {
  readonly loop: DeviceNumber
  readonly name: string
  readonly backingFile: string
}

export async function loopDevices(): Promise<LoopDevice[]> {
  const loops: LoopDevice[] = []
  for (const name of await namesIn('/sys/block')) {
    const backingFile = await readIfThere(`/sys/block/${name}/loop/backing_file`)
    const loop = await readIfThere(`/sys/block/${name}/dev`)
    if (backingFile !== undefined && loop !== undefined) {
      loops.push({ loop: loop.trim(), name: `/dev/${name}`, backingFile: backingFile.replace(/\n$/, '') })
    }
  }
  return loops
}

/** How a device is used right now, in words for people; empty when it is free. */
export async function deviceUses(number: DeviceNumber): Promise<string[]> {
  const family = await deviceFamily(number)
  const uses: string[] = []
  for (const mount of await mounts()) {
    if (family.has(mount.number) || family.has((await deviceNumberAt(mount.source)) ?? ''))
      uses.push(`mounted at ${mount.mountPoint}`)
  }
  for (const path of await swaps()) {
    if (family.has((await deviceNumberAt(path)) ?? '')) uses.push(`${path} is swap space`)
  }
  for (const { loop, name, backingFile } of await loopDevices()) {
    if (loop !== number && family.has(loop)) uses.push(`${name} is attached to ${backingFile}`)
  }
  for (const name of await namesIn(`/sys/dev/block/${number}/holders`)) uses.push(`held by ${name}`)
  return [...new Set(uses)]
}

/** How a file is used as a disk right now. `path` is its real path. */
export async function fileUses(path: string): Promise<string[]> {
  const uses: string[] = []
  for (const { loop, name, backingFile } of await loopDevices()) {
    if (backingFile === path) uses.push(`attached to ${name}`, ...(await deviceUses(loop)))
  }
  if ((await swaps()).includes(path)) uses.push('swap space')
  return uses
}

/** The devices that the file system at `path` lies on. */
export async function devicesUnder(path: string): Promise<Set<DeviceNumber>> {
  const number = deviceNumber((await stat(path)).dev)
  const devices = new Set([number])
  // btrfs and overlays have numbers of their own; the mount names the device.
  for (const mount of await mounts()) {
    const source = mount.number === number ? await deviceNumberAt(mount.source) : undefined
    if (source !== undefined) devices.add(source)
  }
  return devices
}

async function mounts(): Promise<Mount[]> {
  return parseMountinfo((await readIfThere('/proc/self/mountinfo')) ?? '')
}

async function swaps(): Promise<string[]> {
  return parseSwaps((await readIfThere('/proc/swaps')) ?? '')
}

async function deviceNumberAt(path: string): Promise<DeviceNumber | undefined> {
  if (!path.startsWith('/')) return undefined
  try {
    const stats = await stat(path)
    return stats.isBlockDevice() ? deviceNumber(stats.rdev) : undefined
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/** Devices come and go while we look, and not every system has every file. */
function isGone(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EACCES', 'EINVAL'].includes(systemErrorCode(error) ?? '')
}
