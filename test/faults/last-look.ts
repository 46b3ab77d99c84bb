import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { tenantSessionsPrefix } from '@strata/shared/format/names.ts'
import { sessionLifeMs } from '@strata/shared/limits.ts'
import { readKeyFile } from '@strata/shared/keys/key-file.ts'
import { isReadable, listPoints, pointId, type Point } from '@strata/shared/repository/points.ts'
import { unlockRepository, type UnlockedTenant } from '@strata/shared/repository/unlock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { restoreDisk } from '@strata/workers/deliver/restore/restore-disk.ts'
import { sweepSessions } from '@strata/workers/maintain/sweep/sweep-sessions.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { withReadPool } from '@strata/workers/read/read-pool.ts'
import { mayBegin, problemsOfRun } from './judge.ts'
import { runMsMax } from './limits.ts'
import { diskName, type DiskThen, type Moment } from './moments.ts'
import { journalOf, note, problemsOfResume, type Played } from './play.ts'
import type { World } from './world.ts'

export async function unlock(world: World, store: ObjectStore): Promise<UnlockedTenant> {
  const keyFile = await readKeyFile(world.place.file('key'))
  return await unlockRepository(store, {
    keyringPath: world.place.file('state/keyring.json'),
    secrets: () => Promise.resolve({ passphrase: undefined, keyFile }),
    random: systemRandomBytes,
  })
}

/** With all faults gone, each agent backs up once more, and everything ends in order. */
export async function playOut(world: World, repository: Repository, played: Played): Promise<void> {
  await world.endAll('SIGKILL')
  await world.beginServers()
  const faults = world.scenario.rounds.flatMap((round) => round.faults)
  const originals = world.machines.slice(0, world.scenario.agents.length)
  const journals = await Promise.all(originals.map((machine) => journalOf(machine)))
  const isLong = world.scenario.sessionLifeMs === undefined
  const ended = await Promise.all(originals.map((machine) => machine.start(false, {}).ended(runMsMax)))
  for (const [index, run] of ended.entries()) {
    world.problems.push(...problemsOfRun(run, isLong && !faults.some(mayEndOnce)))
    note(played, run)
    const journal = journals[index]
    if (journal === undefined) continue
    const at = { journal, mayBegin: mayBegin(world.scenario, faults, index) }
    world.problems.push(...problemsOfResume(repository, played, run, at))
    if (run.answer === undefined) {
      const again = await run.run.machine.start(false, {}).ended(runMsMax)
      world.problems.push(...problemsOfRun(again, isLong))
      note(played, again)
    }
  }
  for (const [index, result] of (await world.endAll('SIGTERM')).entries()) {
    if (result?.exitCode === 0) continue
    world.problems.push(`server ${String(index)} did not end in order: ${result?.messages ?? ''}`)
  }
  for (const defect of world.servers.flatMap(({ defects }) => defects))
    world.problems.push(`a server has told of a defect: ${defect}`)
  await world.place.untilNoProcess()
  await nothingLeft(world)
}

/** A run that finds a session spoiled before says so, and the next one begins anew. */
function mayEndOnce({ kind }: { readonly kind: string }): boolean {
  return kind === 'clone' || kind === 'torn journal'
}

async function nothingLeft(world: World): Promise<void> {
  for (const folder of ['tmp', 'hand-over']) {
    const names = (await readdir(world.place.file(folder))).filter((name) => name.startsWith('strata-'))
    if (names.length > 0) world.problems.push(`left in ${folder}: ${names.join(', ')}`)
  }
}

/** Two weeks later, from the bucket and the key alone: what is visible is whole, and nothing else is left. */
export async function lookBack(
  world: World,
  { repository, privateKey }: UnlockedTenant,
  played: Played,
): Promise<Point[]> {
  // Twice: what was stored late goes with the day after.
  for (const laterMs of [sessionLifeMs + dayMs, sessionLifeMs + 3 * dayMs]) {
    const swept = await sweepSessions({
      repository: laterThan(repository, laterMs),
      clock: { ...systemClock, nowMs: () => systemClock.nowMs() + laterMs },
    })
    if (swept.problem !== undefined) world.problems.push(`the sweeper: ${swept.problem.message}`)
  }
  const points: Point[] = []
  for await (const entry of listPoints(repository)) {
    if (isReadable(entry)) points.push(entry)
    else if ('error' in entry) world.problems.push(`number ${String(entry.sequence)}: ${entry.error.message}`)
  }
  const known = new Set<string>(points.map(pointId))
  for (const told of played.told.keys()) if (!known.has(told)) world.problems.push(`point ${told} is gone`)
  await withReadPool(undefined, async (pool) => {
    const { state, damage, history } = await verifyPoints({
      repository,
      privateKey,
      points: 'all',
      pool,
      clock: systemClock,
    })
    if (state !== 'intact') world.problems.push(`verify: ${state}: ${JSON.stringify({ damage, history })}`)
    for (const point of points) {
      const disks: DiskThen[] = []
      for (const [disk, { name, sizeBytes }] of point.manifest.disks.entries()) {
        const path = world.place.file('restored.img')
        await restoreDisk({
          repository,
          privateKey,
          point,
          diskName: name,
          target: { path, force: false },
          allowDamaged: false,
          clock: systemClock,
          pool,
        })
        if (name !== diskName(disk)) world.problems.push(`disk ${name} has the place of ${diskName(disk)}`)
        disks.push({ sizeBytes, sha256: await sha256Of(path), blocks: [] })
        await rm(path)
      }
      if (!isMoment(disks, momentsFor(world, played, point))) {
        world.problems.push(
          `point ${pointId(point)} (number ${String(point.sequence)}) is no moment of ${point.manifest.setName}`,
        )
      }
    }
  })
  await onlyPointsLeft(world, repository, points)
  return points
}

const dayMs = 24 * 3600_000

function laterThan(repository: Repository, laterMs: number): Repository {
  const { store } = repository
  const later = storeWith(store, { now: async () => (await store.now()) + laterMs })
  return new Repository(later, repository.ingestKeys, systemRandomBytes)
}

/** Of a run that was told of the point: what the disks held while it ran; else all that they ever held. */
function momentsFor(world: World, { told }: Played, point: Point): readonly Moment[] {
  const known = told.get(pointId(point))
  if (known !== undefined) return known.moments
  return world.machines
    .filter(({ setName }) => setName === point.manifest.setName)
    .flatMap(({ disks }) => disks.moments)
}

function isMoment(disks: readonly DiskThen[], moments: readonly Moment[]): boolean {
  return moments.some((moment) => {
    if (moment.disks.length !== disks.length) return false
    return moment.disks.every(({ sizeBytes, sha256 }, disk) => {
      return disks[disk]?.sizeBytes === sizeBytes && disks[disk].sha256 === sha256
    })
  })
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** No session's document is left, and no pack of a session that has no point. */
async function onlyPointsLeft(world: World, { store, tenant }: Repository, points: readonly Point[]): Promise<void> {
  const known = new Set<string>(points.map(pointId))
  for await (const { name } of store.list(tenantSessionsPrefix(tenant))) world.problems.push(`${name} is left`)
  for await (const { name } of store.list(`tenants/${tenant}/chains/`)) {
    const session = name.split('/').at(-2) ?? ''
    if (!known.has(session)) world.problems.push(`${name} is left, of no point`)
  }
}
