import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import {
  emptyDisk,
  fileSystemDisk,
  partitionedDisk,
  textDisk,
  twoDisks,
  type DiskPaths,
  type PrepareDisks,
  type Round,
} from './disks.ts'
import type { Addressed, Machine } from './fleet.ts'
import type { Installation, Tenant } from './installation.ts'

/** A machine with its disks, and what each of its points must restore to. */
export interface Endpoint {
  readonly machine: Machine
  readonly tenant: Tenant
  readonly directory: string
  readonly prepare: PrepareDisks
}

export interface ExpectedDisk {
  readonly name: string
  readonly sizeBytes: number
  readonly sha256: string
}

export interface ExpectedPoint {
  readonly tenant: Tenant
  readonly set: string
  readonly point: string
  readonly kind: string
  readonly disks: readonly ExpectedDisk[]
}

/** Five machines: two tenants have one of the same name, and each gateway has some that know no other. */
export async function enrolEndpoints({ fleet, tenants, gateways, balancer, place }: Installation): Promise<Endpoint[]> {
  const [north, south] = tenants
  const [first, second] = gateways
  const plans: readonly [string, Tenant, Addressed, PrepareDisks][] = [
    ['ledger-frontend', north, first, fileSystemDisk],
    ['cashdesk-backoffice', north, second, partitionedDisk],
    ['archive-of-two-disks', north, balancer, twoDisks],
    ['ledger-frontend', south, second, textDisk],
    ['quiet-standby-node', south, first, emptyDisk],
  ]
  return await Promise.all(
    plans.map(async ([name, tenant, at, prepare]) => {
      const id = `${tenant.name}-${name}`
      const directory = place.file(`disks-${id}`)
      await mkdir(directory)
      const machine = await fleet.machine(name, at, { operator: tenant.operator, id })
      return { machine, tenant, directory, prepare }
    }),
  )
}

const optionsOf: Readonly<Record<Round, readonly string[]>> = {
  full: [],
  incremental: [],
  differential: ['--differential'],
  'shrink and grow': [],
}

/** Backs the machine up as its disks are; resolves with what the point must be. */
export async function backUpEndpoint(
  { machine, tenant }: Endpoint,
  disks: DiskPaths,
  round: Round,
): Promise<{ readonly expected: ExpectedPoint; readonly answer: BackupAnswer }> {
  const sources = Object.entries(disks).map(([name, path]) => `${name}=${path}`)
  const answer = await machine.backUpAll(sources, ...optionsOf[round])
  const { point, kind } = answer
  const described = Object.entries(disks).map(([name, path]) => describeDisk(name, path))
  return { answer, expected: { tenant, set: machine.name, point, kind, disks: await Promise.all(described) } }
}

export async function describeDisk(name: string, path: string): Promise<ExpectedDisk> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return { name, sizeBytes: (await stat(path)).size, sha256: hash.digest('hex') }
}
