import { StrataError } from '@strata/shared/errors.ts'
import { packName, samePack, type PackKind, type PackReference } from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'

/** Objects of a chain by the session that wrote them: names, and what they are. */
export type NeededObjects = ReadonlyMap<SessionId, ReadonlyMap<string, PackKind>>

/**
 * The objects that a point needs and that its map does not share with another one, which is in the copy whole: where node,
 * page or the packs of a page are the same, nothing is to be done. Reads what is different of both maps.
 */
export async function neededObjects(
  map: PointMap,
  before: PointMap | undefined,
  signal?: AbortSignal,
): Promise<NeededObjects> {
  const needed = new Map<SessionId, Map<string, PackKind>>()
  const add = (kind: PackKind, pack: PackReference): void => {
    const ofSession = needed.get(pack.session) ?? new Map<string, PackKind>()
    needed.set(pack.session, ofSession.set(packName(map.place, kind, pack), kind))
  }
  const { session, number, attempt } = map.point.manifest.root
  add('map', { session: asId<SessionId>(session), number, attempt })
  for (const disk of map.root.disks.keys()) await addDisk(add, map, before, disk, signal)
  return needed
}

async function addDisk(
  add: (kind: PackKind, pack: PackReference) => void,
  map: PointMap,
  before: PointMap | undefined,
  disk: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { nodes } = map.disk(disk)
  const nodesBefore = before?.root.disks[disk]?.nodes
  for (let number = 0; number < nodes.entryCount; number += 1) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted; the next copy goes on')
    const place = nodes.place(number)
    if (place === undefined || isSame(place, nodesBefore?.place(number))) continue
    add('map', place.pack)
    const node = await map.node(disk, number)
    const nodeBefore = nodesBefore?.place(number) === undefined ? undefined : await before?.node(disk, number)
    const changed = changedEntries(add, node, nodeBefore)
    const known = changed.filter((entry) => nodeBefore?.place(entry) !== undefined)
    const pagesBefore = before?.pages(disk, numbersOf(number, known))
    for await (const page of map.pages(disk, numbersOf(number, changed))) {
      const isKnown = nodeBefore?.place(page.number % pageEntriesMax) !== undefined
      const next = isKnown ? await pagesBefore?.next() : undefined
      addPage(add, page, next?.done === true ? undefined : next?.value)
    }
  }
}

/** The entries of a node whose pages lie elsewhere than before. */
function changedEntries(
  add: (kind: PackKind, pack: PackReference) => void,
  node: Page,
  before: Page | undefined,
): number[] {
  const changed: number[] = []
  for (let entry = 0; entry < node.entryCount; entry += 1) {
    const place = node.place(entry)
    if (place === undefined || isSame(place, before?.place(entry))) continue
    add('map', place.pack)
    changed.push(entry)
  }
  return changed
}

function addPage(
  add: (kind: PackKind, pack: PackReference) => void,
  { references }: Page,
  before: Page | undefined,
): void {
  const known = new Set(before?.references.map(keyOf))
  for (const pack of references) if (!known.has(keyOf(pack))) add('data', pack)
}

function keyOf({ session, number, attempt }: PackReference): string {
  return `${session}${String(number)}-${attempt}`
}

function numbersOf(node: number, entries: readonly number[]): number[] {
  return entries.map((entry) => node * pageEntriesMax + entry)
}

function isSame(a: Place, b: Place | undefined): boolean {
  return a.offset === b?.offset && a.length === b.length && samePack(a.pack, b.pack)
}
