import { StrataError } from '@strata/shared/errors.ts'
import { samePack, type PackReference } from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'

/** What of a map lies elsewhere than in another one: a part of the map itself, or a page with records. */
export type MapChange =
  | { readonly kind: 'map'; readonly pack: PackReference }
  /** `before`: the page at the same place in the other map, where that was asked for and there is one. */
  | { readonly kind: 'page'; readonly page: Page; readonly before: Page | undefined }

export interface MapChangeOptions {
  /** Reads pages of the other map as well. */
  readonly withBefore: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Walks from a map's root to its pages. Where a node, a page or the whole root lies at the same place as in the other map,
 * nothing behind it is read: so points of one chain, each compared with the one before, cost together about as much as
 * all page packs of the chain.
 */
export async function* mapChanges(
  map: PointMap,
  before: PointMap | undefined,
  options: MapChangeOptions,
): AsyncGenerator<MapChange> {
  const { session, number, attempt } = map.point.manifest.root
  yield { kind: 'map', pack: { session: asId<SessionId>(session), number, attempt } }
  for (const disk of map.root.disks.keys()) yield* diskChanges(map, before, disk, options)
}

async function* diskChanges(
  map: PointMap,
  before: PointMap | undefined,
  disk: number,
  { withBefore, signal }: MapChangeOptions,
): AsyncGenerator<MapChange> {
  const { nodes } = map.disk(disk)
  const nodesBefore = before?.root.disks[disk]?.nodes
  for (let number = 0; number < nodes.entryCount; number += 1) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted while maps were looked through')
    const place = nodes.place(number)
    if (place === undefined || isSamePlace(place, nodesBefore?.place(number))) continue
    yield { kind: 'map', pack: place.pack }
    const node = await map.node(disk, number)
    const nodeBefore = nodesBefore?.place(number) === undefined ? undefined : await before?.node(disk, number)
    const changed: number[] = []
    for (let entry = 0; entry < node.entryCount; entry += 1) {
      const page = node.place(entry)
      if (page === undefined || isSamePlace(page, nodeBefore?.place(entry))) continue
      yield { kind: 'map', pack: page.pack }
      changed.push(number * pageEntriesMax + entry)
    }
    const isKnown = (page: number): boolean => withBefore && nodeBefore?.place(page % pageEntriesMax) !== undefined
    const pagesBefore = before?.pages(disk, changed.filter(isKnown))
    for await (const page of map.pages(disk, changed)) {
      const next = isKnown(page.number) ? await pagesBefore?.next() : undefined
      yield { kind: 'page', page, before: next?.done === true ? undefined : next?.value }
    }
  }
}

export function isSamePlace(a: Place, b: Place | undefined): boolean {
  return a.offset === b?.offset && a.length === b.length && samePack(a.pack, b.pack)
}
