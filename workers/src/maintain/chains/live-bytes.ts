import type { Page } from '@strata/shared/format/page.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isSamePlace, mapChanges } from '../map-changes.ts'

/**
 * How many bytes of records points of one chain need, what they share counted once. Each map is compared with the one
 * before: pages at the same place are not read again. A record that comes back after others is counted twice, which a
 * chain hardly ever has.
 * @param points of one chain, by ascending number
 */
export async function liveRecordBytes(repository: Repository, points: readonly Point[]): Promise<number> {
  let bytes = 0
  let before: PointMap | undefined
  for (const point of points) {
    const map = await PointMap.open(repository, point)
    for await (const change of mapChanges(map, before, { withBefore: true })) {
      if (change.kind === 'page') bytes += newBytes(change.page, change.before)
    }
    before = map
  }
  return bytes
}

function newBytes(page: Page, before: Page | undefined): number {
  let bytes = 0
  for (let entry = 0; entry < page.entryCount; entry += 1) {
    const place = page.place(entry)
    if (place !== undefined && !isSamePlace(place, before?.place(entry))) bytes += place.length
  }
  return bytes
}
