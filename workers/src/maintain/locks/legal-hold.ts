import { manifestName, packName } from '@strata/shared/format/names.ts'
import { storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { documentsOf } from '@strata/shared/repository/lock-documents.ts'
import { chainPlaceOf, readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger, type RetentionState } from '@strata/shared/repository/retention/ledger.ts'
import { withPin, type PinOptions } from '@strata/shared/repository/retention/pins.ts'
import { readSetPoints } from '../retention/set-points.ts'
import { liveObjects } from '../retention/live-objects.ts'

type Pinning = Pick<PinOptions, 'clock' | 'onWarning'>

/** Legal holds on everything behind a point, without an end. Gives the number of objects. E_STORE_NO_LOCK. */
export async function holdLegally(repository: Repository, point: Point, pinning: Pinning): Promise<number> {
  const pin = { ...pinning, set: point.set, sequences: [point.sequence], purpose: 'hold' }
  return await withPin(repository, pin, async () => {
    const documents = await Array.fromAsync(documentsOf(repository))
    return await setHolds(repository, [...documents, ...(await namesBehind(repository, [point]))], true)
  })
}

/**
 * Takes them away again, but from what another point needs that is held. For the ledger that does not hold the point any
 * more.
 */
export async function releaseLegally(repository: Repository, point: Point, pinning: Pinning): Promise<number> {
  const ledger = new RetentionLedger(repository)
  const { state } = await ledger.read(point.set)
  const others = await heldOfChain(repository, state, point)
  const sequences = [point, ...others].map(({ sequence }) => sequence)
  return await withPin(repository, { ...pinning, set: point.set, sequences, purpose: 'hold' }, async () => {
    const needed = new Set(await namesBehind(repository, others))
    const names = (await namesBehind(repository, [point])).filter((name) => !needed.has(name))
    const refuse = (_: unknown, error: Error): never => {
      throw error
    }
    const states = [...(await ledger.readAll(refuse)).values()]
    const isAnyHeld = states.some(({ state: { held, heldSet } }) => heldSet !== null || held.length > 0)
    const documents = isAnyHeld ? [] : await Array.fromAsync(documentsOf(repository))
    return await setHolds(repository, [...names, ...documents], false)
  })
}

/** Other points of the chain that stay held. */
async function heldOfChain(repository: Repository, state: RetentionState, { set, manifest }: Point): Promise<Point[]> {
  const held = new Set(state.held.map(({ sequence }) => sequence))
  const { points } = await readSetPoints(repository, set)
  const others = points.filter(
    ({ id, chain, sequence }) =>
      chain === manifest.chain && id !== manifest.point && (state.heldSet !== null || held.has(sequence)),
  )
  return await Promise.all(others.map(({ sequence }) => readPoint(repository, set, sequence)))
}

/** @param points of one chain */
async function namesBehind(repository: Repository, points: readonly Point[]): Promise<string[]> {
  const [first] = points
  if (first === undefined) return []
  const place = chainPlaceOf(repository, first)
  const live = await liveObjects(repository, points)
  return [
    ...points.map(({ sequence }) => manifestName(place, sequence)),
    ...[...live.all()].map(({ kind, reference }) => packName(place, kind, reference)),
  ]
}

async function setHolds({ store }: Repository, names: readonly string[], on: boolean): Promise<number> {
  const setting = mapConcurrently(names, storeRequestsInFlightMax, (name) => store.setLegalHold(name, on))
  for await (const _ of setting);
  return names.length
}
