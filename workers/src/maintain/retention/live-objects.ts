import { StrataError } from '@strata/shared/errors.ts'
import {
  chainObjectOf,
  chainPrefix,
  samePack,
  type ChainPlace,
  type PackKind,
  type PackReference,
} from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import { readRepairs } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'

/**
 * What points of one chain need: every pack and page pack that their maps refer to. Points share most of their maps with
 * the one before; where node, page or the whole root lies at the same place, it was looked at already, and is not read
 * again. So all points together cost about as much as all page packs of the chain.
 */
export class LiveObjects {
  readonly #objects = new Map<string, LiveObject>()

  has(kind: PackKind, reference: PackReference): boolean {
    return this.#objects.has(keyOf(kind, reference))
  }

  add(kind: PackKind, reference: PackReference): void {
    this.#objects.set(keyOf(kind, reference), { kind, reference })
  }

  all(): IterableIterator<LiveObject> {
    return this.#objects.values()
  }
}

interface LiveObject {
  readonly kind: PackKind
  readonly reference: PackReference
}

function keyOf(kind: PackKind, { session, number, attempt }: PackReference): string {
  return `${kind}${session}${String(number)}-${attempt}`
}

/**
 * @param points of one chain, by ascending number
 * Errors: whatever reading a map ends with. Then nobody knows what is needed, and nothing may go.
 */
export async function liveObjects(
  repository: Repository,
  points: readonly Point[],
  signal?: AbortSignal,
): Promise<LiveObjects> {
  const live = new LiveObjects()
  let before: PointMap | undefined
  for (const point of points) {
    const map = await PointMap.open(repository, point)
    const { session, number, attempt } = point.manifest.root
    live.add('map', { session: asId<SessionId>(session), number, attempt })
    for (const disk of map.root.disks.keys()) await addDisk(live, map, before, disk, signal)
    before = map
  }
  return live
}

/**
 * Records that stand for damaged ones are needed as long as those are.
 * Errors: when the repairs of the chain cannot be read, nobody knows what is needed, and nothing may go.
 */
export async function keepRepairs(repository: Repository, place: ChainPlace, live: LiveObjects): Promise<void> {
  for (const { from, to } of (await readRepairs(repository, place.chain)).all()) {
    const damaged = chainObjectOf(place, chainPrefix(place) + from.object)
    const other = chainObjectOf(place, chainPrefix(place) + to.object)
    if (damaged === undefined || other === undefined || !live.has(damaged.kind, damaged.reference)) continue
    live.add(other.kind, other.reference)
  }
}

async function addDisk(
  live: LiveObjects,
  map: PointMap,
  before: PointMap | undefined,
  disk: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { nodes } = map.disk(disk)
  const nodesBefore = before?.root.disks[disk]?.nodes
  for (let number = 0; number < nodes.entryCount; number += 1) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted while maps were looked through')
    const place = nodes.place(number)
    if (place === undefined || isSame(place, placeIn(nodesBefore, number))) continue
    live.add('map', place.pack)
    const node = await map.node(disk, number)
    const nodeBefore = nodesBefore?.place(number) === undefined ? undefined : await before?.node(disk, number)
    const changed: number[] = []
    for (let entry = 0; entry < node.entryCount; entry += 1) {
      const page = node.place(entry)
      if (page === undefined || isSame(page, placeIn(nodeBefore, entry))) continue
      live.add('map', page.pack)
      changed.push(number * pageEntriesMax + entry)
    }
    for await (const page of map.pages(disk, changed)) for (const pack of page.references) live.add('data', pack)
  }
}

function placeIn(page: Page | undefined, entry: number): Place | undefined {
  return page?.place(entry)
}

function isSame(a: Place, b: Place | undefined): boolean {
  return a.offset === b?.offset && a.length === b.length && samePack(a.pack, b.pack)
}
