import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemClock } from '@strata/shared/clock.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { openTenant } from '@strata/shared/repository/unlock.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { startCephRgw } from '../../servers/ceph-rgw.ts'
import { runTool } from '../../fixtures/tool.ts'
import { diskOf, makePoint, seededRandom } from '../../fixtures/make-point.ts'
import { StrataRepository } from '../contestants/strata.ts'
import { measure } from '../measure.ts'
import type { ManyPointsResult } from '../results.ts'

const bucket = 'strata-bench'
const blockBytes = 65_536
const setCount = 10
/** A chain has so many points, as a policy would end it. */
const chainPoints = 100
const writersMax = 16
const policy = 'schedule: { every: 1h }\nretention: { last: 3, daily: 14, weekly: 8, monthly: 12, minimumAge: 7d }\n'

export interface ManyPointsSize {
  readonly points: number
}

/** Points of a disk of one block, as real as others: their manifests are what there is much of. */
async function makePoints(made: MemoryStore, repository: Repository, size: ManyPointsSize): Promise<void> {
  const random = seededRandom('many points')
  const owner = { store: made, repository, random, privateKey: undefined as never }
  const bytes = Buffer.alloc(blockBytes)
  for (let set = 0; set < setCount; set += 1) {
    let last: Point | null = null
    for (let number = 0; number < size.points / setCount; number += 1) {
      bytes.writeUInt32LE(number + 1)
      const base: { base?: Point } = last === null || number % chainPoints === 0 ? {} : { base: last }
      const disks = [diskOf('disk', bytes, blockBytes)]
      last = await makePoint(owner, { setName: `machine-${String(set)}`, disks, after: last, ...base })
    }
  }
}

interface Place {
  readonly name: string
  readonly repository: StrataRepository
  readonly storeUrl: string
  readonly env: Readonly<Record<string, string>>
  readonly put: (name: string, bytes: Uint8Array) => Promise<void>
}

/** Lists, rebuild of the catalogue and a plan of what would go, of a repository with thousands of points. */
async function measureIn(place: Place, size: ManyPointsSize, signal: AbortSignal): Promise<ManyPointsResult> {
  const { repository, name } = place
  await repository.create()
  const policyPath = join(repository.directory, 'policy.yaml')
  await writeFile(policyPath, policy)
  const apply = repository.command('policy', 'apply', policyPath)
  await runTool(apply.program, apply.args, { env: apply.env })
  await fill(place, size)
  const run = async (...args: string[]): Promise<ManyPointsResult['steps'][number]> => {
    const { seconds, peaks, output } = await measure(repository.command(...args), signal)
    const { requests } = JSON.parse(output) as { requests?: StoreTotals }
    const peakBytes = peaks.reduce((most, peak) => Math.max(most, peak.peakBytes), 0)
    return { command: args.join(' '), seconds, peakBytes, requests: requests?.requests ?? null }
  }
  const steps = [
    await run('points'),
    await run('catalog', 'rebuild'),
    await run('points'),
    await run('prune', '--dry-run'),
    await run('prune', '--dry-run', '--set', 'machine-0'),
  ]
  await repository.remove()
  return { store: name, points: size.points, sets: setCount, steps }
}

async function fill({ repository, storeUrl, env, put }: Place, size: ManyPointsSize): Promise<void> {
  const store = await openStore(storeUrl, {
    env: { ...process.env, ...env },
    clock: systemClock,
    randomBytes: seededRandom('put'),
  })
  try {
    const opened = await openTenant(store, {
      keyringPath: join(repository.directory, 'state', 'keyring.json'),
      tenant: undefined,
      secrets: () => Promise.resolve({ passphrase: undefined, keyFile: undefined }),
      random: seededRandom('nonces'),
    })
    const made = new MemoryStore({ clock: systemClock })
    await makePoints(made, new Repository(made, opened.repository.ingestKeys, seededRandom('points')), size)
    const names = await Array.fromAsync(made.list(''), ({ name }) => name)
    const putting = mapConcurrently(names, writersMax, async (name) => {
      await put(name, await made.get(name))
    })
    for await (const _ of putting);
  } finally {
    await store.close()
  }
}

export async function measureManyPoints(
  directory: string,
  size: ManyPointsSize,
  withS3: boolean,
  signal: AbortSignal,
): Promise<ManyPointsResult[]> {
  const local = new StrataRepository(join(directory, 'many-points'))
  const results = [await measureIn(inDirectory(local), size, signal)]
  if (!withS3) return results
  const server = await startCephRgw()
  try {
    await server.createBucket(bucket)
    const url = server.storeUrl(bucket)
    const repository = new StrataRepository(join(directory, 'many-points-s3'), { url, env: server.env })
    const store = await openStore(url, {
      env: { ...process.env, ...server.env },
      clock: systemClock,
      randomBytes: seededRandom('rgw'),
    })
    results.push(await measureIn(onServer(repository, url, server.env, store), size, signal))
    await store.close()
    return results
  } finally {
    await server.stop()
  }
}

/** Straight into files: to sync each of tens of thousands is not what is measured. */
function inDirectory(repository: StrataRepository): Place {
  return {
    name: 'directory',
    repository,
    storeUrl: `file://${repository.storeDirectory}`,
    env: {},
    put: async (name, bytes) => {
      const path = join(repository.storeDirectory, name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, bytes)
    },
  }
}

function onServer(
  repository: StrataRepository,
  storeUrl: string,
  env: Readonly<Record<string, string>>,
  store: ObjectStore,
): Place {
  return { name: 'Ceph RGW', repository, storeUrl, env, put: (name, bytes) => store.put(name, [bytes]) }
}
