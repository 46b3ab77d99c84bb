import type { Requirement } from '../servers/require-server.ts'

/** Clients that others have written. */
export const nbdRequirement: Requirement = {
  name: 'libnbd and QEMU',
  programs: ['nbdinfo', 'nbdcopy', 'nbdfuse', 'qemu-img', 'qemu-io'],
  remedy: 'apt-get install libnbd-bin qemu-utils',
}
