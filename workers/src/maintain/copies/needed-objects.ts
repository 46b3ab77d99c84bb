import { packKey, packName, type PackKind, type PackReference } from '@strata/shared/format/names.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import type { SessionId } from '@strata/shared/types.ts'
import { mapChanges } from '../map-changes.ts'

/** Objects of a chain by the session that wrote them: names, and what they are. */
export type NeededObjects = ReadonlyMap<SessionId, ReadonlyMap<string, PackKind>>

/** The objects that a point needs and that its map does not share with another one, which is in the copy whole. */
export async function neededObjects(
  map: PointMap,
  other: PointMap | undefined,
  signal?: AbortSignal,
): Promise<NeededObjects> {
  const needed = new Map<SessionId, Map<string, PackKind>>()
  const add = (kind: PackKind, pack: PackReference): void => {
    const ofSession = needed.get(pack.session) ?? new Map<string, PackKind>()
    needed.set(pack.session, ofSession.set(packName(map.place, kind, pack), kind))
  }
  for await (const change of mapChanges(map, other, { withBefore: true, signal })) {
    if (change.kind === 'map') {
      add('map', change.pack)
      continue
    }
    const known = new Set(change.before?.references.map(packKey))
    for (const pack of change.page.references) if (!known.has(packKey(pack))) add('data', pack)
  }
  return needed
}
