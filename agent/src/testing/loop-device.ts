import type { TestContext } from 'node:test'
import { run } from './programs.ts'

/** Why tests with loop devices are skipped here; false when they can be had. They need root and the kernel's module. */
export function skipWithoutLoopDevices(): string | false {
  if (process.getuid?.() !== 0) return 'loop devices need root'
  try {
    run('losetup', '--find')
    return false
  } catch (error) {
    return `no loop devices: ${String(error)}`
  }
}

/** A block device over the file `path`, for the length of the test. */
export function loopDevice(t: TestContext, path: string, sectorBytes = 512): string {
  const device = run('losetup', '--sector-size', String(sectorBytes), '--find', '--show', path)
  t.after(() => {
    run('losetup', '--detach', device)
  })
  return device
}

/** Does something while a device is mounted. */
export async function whileMounted(device: string, place: string, action: () => Promise<void> | void): Promise<void> {
  run('mount', device, place)
  try {
    await action()
  } finally {
    run('umount', place)
  }
}
