import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StrataError } from '@strata/shared/errors.ts'

/**
 * What tells this machine from all others, so that one machine does not become two endpoints by accident. It is no
 * secret and no proof: whoever wants to can say something else.
 *
 * | system  | facts                                                         | tried |
 * |---------|---------------------------------------------------------------|-------|
 * | Linux   | /etc/machine-id (a new installation has another), and the     | yes   |
 * |         | firmware's UUID, which only root can read                      |       |
 * | Windows | MachineGuid of the registry, by `reg`                          | no    |
 * | macOS   | IOPlatformUUID, by `ioreg`                                     | no    |
 *
 * Facts that cannot be read are left out, and the fingerprint is another one then: an agent that ran as root once and
 * not the next time may enrol twice. With none at all there is no fingerprint: E_MACHINE_UNKNOWN. A clone of a virtual
 * machine that was given another UUID is another machine.
 */
export interface MachineFacts {
  readonly machineId: string | undefined
  readonly productUuid: string | undefined
}

/** Where facts are read. */
export interface FactSources {
  readonly platform: NodeJS.Platform
  /** The file's text; rejects where it cannot be read. */
  readonly read: (path: string) => Promise<string>
  /** What a program writes to its standard output; rejects where it fails. */
  readonly run: (program: string, args: readonly string[]) => Promise<string>
}

const programTimeoutMs = 10_000

const systemSources: FactSources = {
  platform: process.platform,
  read: async (path) => await readFile(path, 'utf8'),
  run: async (program, args) => {
    const { stdout } = await promisify(execFile)(program, [...args], { timeout: programTimeoutMs })
    return stdout
  },
}

/**
 * 64 hex digits. `stated`: what the operator says that this machine is, where the facts say nothing (containers) or the
 * same of several. E_MACHINE_UNKNOWN: nothing tells this machine from others.
 */
export async function machineFingerprint(stated?: string, sources: FactSources = systemSources): Promise<string> {
  if (stated !== undefined) return createHash('sha256').update(`stated:${stated}\n`, 'utf8').digest('hex')
  const { machineId, productUuid } = await machineFacts(sources)
  if (machineId === undefined && productUuid === undefined) {
    throw new StrataError('E_MACHINE_UNKNOWN', 'neither a machine id nor a UUID of the firmware can be read')
  }
  const text = `machine-id:${machineId ?? ''}\nproduct-uuid:${productUuid ?? ''}\n`
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

async function machineFacts({ platform, read, run }: FactSources): Promise<MachineFacts> {
  if (platform === 'win32') {
    const key = 'HKLM\\SOFTWARE\\Microsoft\\Cryptography'
    const output = await textOrNone(run('reg', ['query', key, '/v', 'MachineGuid', '/reg:64']))
    return { machineId: identifier(/MachineGuid\s+REG_SZ\s+(\S+)/.exec(output)?.[1]), productUuid: undefined }
  }
  if (platform === 'darwin') {
    const output = await textOrNone(run('ioreg', ['-rd1', '-c', 'IOPlatformExpertDevice']))
    return { machineId: undefined, productUuid: identifier(/"IOPlatformUUID" = "([^"]+)"/.exec(output)?.[1]) }
  }
  return {
    machineId: identifier(await textOrNone(read('/etc/machine-id'))),
    productUuid: identifier(await textOrNone(read('/sys/class/dmi/id/product_uuid'))),
  }
}

/** A fact that cannot be read is one that is not there; the one who asks for the fingerprint learns if all are. */
async function textOrNone(reading: Promise<string>): Promise<string> {
  try {
    return await reading
  } catch {
    return ''
  }
}

/** Boards whose makers left the UUID as it came say one of these, and so do thousands of others. */
const meaningless = new Set(['0'.repeat(32), 'f'.repeat(32), '03000200040005000006000700080009'])

/** In one spelling; undefined for what is none, such as `uninitialized`. */
function identifier(text: string | undefined): string | undefined {
  const digits = (text ?? '').trim().toLowerCase().replaceAll(/[-{}]/g, '')
  return /^[0-9a-f]{32}$/.test(digits) && !meaningless.has(digits) ? digits : undefined
}
