import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { WriteFailure } from '../../read/read-task.ts'
import { deviceSizeBytes, deviceUses, type DeviceNumber } from './block-devices.ts'
import type { RestoreTarget } from './target.ts'
import { targetError, targetFailure } from './target-errors.ts'

/**
 * A block device. It holds other bytes, so zeros are written too, where they are not there yet.
 *
 * Opened exclusively, the kernel itself refuses a device that is mounted, swapped to or built upon; /proc and /sys give
 * the reason.
 */
export interface DeviceTargetOptions {
  readonly path: string
  readonly number: DeviceNumber
  readonly sizeBytes: number
  readonly force: boolean
  readonly warnings: readonly Warning[]
}

export async function openDeviceTarget(options: DeviceTargetOptions): Promise<RestoreTarget> {
  const { path, number, sizeBytes, force } = options
  if (!force) {
    const uses = await deviceUses(number)
    if (uses.length > 0) throw inUse(path, uses.join(', '))
  }
  const deviceBytes = await deviceSizeBytes(number)
  if (deviceBytes === undefined) throw new StrataError('E_TARGET_UNWRITABLE', `the size of ${path} is not known`)
  const warnings = [...options.warnings, ...sizeWarnings(path, sizeBytes, deviceBytes, force)]
  return new DeviceTarget(path, Math.min(deviceBytes, sizeBytes), warnings, await openDevice(path, force))
}

async function openDevice(path: string, force: boolean): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | (force ? 0 : constants.O_EXCL))
  } catch (error) {
    if (systemErrorCode(error) === 'EBUSY') throw inUse(path, 'the system says that it is busy', error)
    throw targetError(error, `opening ${path}`)
  }
}

function inUse(path: string, use: string, cause?: unknown): StrataError {
  return new StrataError('E_TARGET_MOUNTED', `${path} is in use: ${use}`, { cause })
}

function sizeWarnings(path: string, sizeBytes: number, deviceBytes: number, force: boolean): Warning[] {
  const sizes = `${path} has ${String(deviceBytes)} bytes and the disk ${String(sizeBytes)}`
  if (deviceBytes < sizeBytes) {
    if (!force) throw new StrataError('E_TARGET_TOO_SMALL', sizes)
    return [{ code: 'W_TARGET_SMALLER', message: `${sizes}: the last ${String(sizeBytes - deviceBytes)} are lost` }]
  }
  if (deviceBytes === sizeBytes) return []
  const message = `${sizes}: a GPT's backup is not at the end of the device; partition tools offer to move it there`
  return [{ code: 'W_TARGET_LARGER', message }]
}

class DeviceTarget implements RestoreTarget {
  readonly kind = 'device'
  readonly needsZeros = true
  readonly firstBlockLast = true
  readonly path: string
  readonly sizeBytes: number
  readonly warnings: readonly Warning[]
  readonly #handle: FileHandle

  constructor(path: string, sizeBytes: number, warnings: readonly Warning[], handle: FileHandle) {
    this.path = path
    this.sizeBytes = sizeBytes
    this.warnings = warnings
    this.#handle = handle
  }

  get fd(): number {
    return this.#handle.fd
  }

  failure({ system, offset }: WriteFailure): StrataError {
    return targetFailure(system, `writing ${this.path} at byte ${String(offset)}`)
  }

  async freeBytes(): Promise<number | undefined> {
    return Promise.resolve(undefined)
  }

  async sync(): Promise<void> {
    try {
      await this.#handle.sync()
    } catch (error) {
      throw targetError(error, `making ${this.path} durable`)
    }
  }

  async finish(): Promise<void> {
    await this.sync()
    await this.#handle.close()
  }

  async abandon(): Promise<string> {
    await this.#handle.close()
    // Its first block was made zero before anything else.
    return `${this.path} holds a part of the disk at most and is no use as it is.`
  }
}
