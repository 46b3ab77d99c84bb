import {
  catalogName,
  catalogPlaceOf,
  manifestPlaceOf,
  tenantCatalogPrefix,
  tenantPointsPrefix,
} from '../../format/names.ts'
import { catalogGroups } from '../../limits.ts'
import type { SetId } from '../../types.ts'
import type { Repository } from '../repository.ts'
import { writeSegmentsEndingAt } from './write-catalog.ts'

export interface RebuiltCatalog {
  readonly sets: number
  /** Points and voids. */
  readonly numbers: number
  /** Segments that were missing, and are there now. */
  readonly written: number
}

/** Makes up for segments that are missing: of sets from before there were any, and where a commit died in between. */
export async function rebuildCatalog(repository: Repository, signal?: AbortSignal): Promise<RebuiltCatalog> {
  const { store, tenant } = repository
  const segments = new Set<string>()
  for await (const { name } of store.list(tenantCatalogPrefix(tenant))) {
    if (catalogPlaceOf(tenant, name) !== undefined) segments.add(name)
  }
  const sets = new Set<SetId>()
  let numbers = 0
  let written = 0
  for await (const { name } of store.list(tenantPointsPrefix(tenant))) {
    signal?.throwIfAborted()
    const found = manifestPlaceOf(tenant, name)
    if (found === undefined) continue
    const { set, sequence } = found
    sets.add(set)
    numbers += 1
    const place = repository.placeOf(set)
    const isMissing = catalogGroups.some(
      (size, level) => sequence % size === 0 && !segments.has(catalogName(place, level, sequence)),
    )
    if (isMissing) written += await writeSegmentsEndingAt(repository, set, sequence)
  }
  return { sets: sets.size, numbers, written }
}
