import { chainObjectOf, chainPrefix } from '@strata/shared/format/names.ts'
import { chainPlaceOf, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ArchiveAccess, FrozenObject } from '@strata/shared/store/archive/archive-access.ts'
import { liveObjects } from '../../maintain/retention/live-objects.ts'

/**
 * What must be thawed before a point can be read: the packs that its maps refer to. Where page packs are frozen nobody can
 * tell which packs these are; then it is those page packs, and the rest is known once they are thawed.
 *
 * One listing of the chain; its maps are read only where something in it is frozen.
 */
export async function frozenOf(
  repository: Repository,
  point: Point,
  archive: ArchiveAccess,
  signal: AbortSignal,
): Promise<FrozenObject[]> {
  const place = chainPlaceOf(repository, point)
  const frozen = await Array.fromAsync(archive.listFrozen(chainPrefix(place)))
  const ofKind = (kind: 'map' | 'data'): FrozenObject[] =>
    frozen.filter(({ name }) => chainObjectOf(place, name)?.kind === kind)
  const maps = ofKind('map')
  if (maps.length > 0) return maps
  const packs = ofKind('data')
  if (packs.length === 0) return []
  const live = await liveObjects(repository, [point], signal)
  return packs.filter(({ name }) => {
    const object = chainObjectOf(place, name)
    return object !== undefined && live.has(object.kind, object.reference)
  })
}
