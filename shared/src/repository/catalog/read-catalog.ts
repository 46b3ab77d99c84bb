import { hasCode } from '../../errors.ts'
import { catalogObjectBytesMax, decodeCatalog, requireGroup } from '../../format/catalog.ts'
import {
  catalogName,
  catalogPlaceOf,
  catalogPrefix,
  manifestPlaceOf,
  pointsPrefix,
  tenantCatalogPrefix,
  tenantPointsPrefix,
} from '../../format/names.ts'
import { storeRequestsInFlightMax } from '../../limits.ts'
import type { SetId } from '../../types.ts'
import { mapConcurrently } from '../concurrency.ts'
import { numberEntry, readEntry, type NumberEntry, type PointEntry } from '../points.ts'
import type { Repository } from '../repository.ts'
import { coverOf, firstOfGroup, type Portion } from './cover.ts'

/**
 * All points and voids of a tenant, or of one set, by set and number, as `listPoints` gives them, and for few requests:
 * two listings, and an object for each group of numbers. What an object of the catalogue says of a number counts only
 * where the number is there; one that is missing or damaged is made up for by the manifests themselves.
 *
 * A manifest that was replaced or damaged since is not noticed here: `listPoints` reads them all.
 */
export async function* listCatalogued(repository: Repository, set?: SetId): AsyncGenerator<PointEntry> {
  const segments = await segmentsOf(repository, set)
  const portions = portionsOf(repository, set, segments)
  const read = mapConcurrently(portions, storeRequestsInFlightMax, (portion) => readPortion(repository, portion))
  for await (const entries of read) yield* entries
}

type SetPortion = Portion & { readonly set: SetId }

/** The names of all segments there are. */
async function segmentsOf({ store, tenant }: Repository, set?: SetId): Promise<ReadonlySet<string>> {
  const prefix = set === undefined ? tenantCatalogPrefix(tenant) : catalogPrefix({ tenant, set })
  const names = new Set<string>()
  for await (const { name } of store.list(prefix)) {
    if (catalogPlaceOf(tenant, name) !== undefined) names.add(name)
  }
  return names
}

async function* portionsOf(
  repository: Repository,
  wanted: SetId | undefined,
  segments: ReadonlySet<string>,
): AsyncGenerator<SetPortion> {
  for await (const { set, numbers } of numbersBySet(repository, wanted)) {
    const place = repository.placeOf(set)
    for (const portion of coverOf(numbers, (level, last) => segments.has(catalogName(place, level, last)))) {
      yield { set, ...portion }
    }
  }
}

async function* numbersBySet(
  { store, tenant }: Repository,
  wanted: SetId | undefined,
): AsyncGenerator<{ set: SetId; numbers: readonly number[] }> {
  const prefix = wanted === undefined ? tenantPointsPrefix(tenant) : pointsPrefix({ tenant, set: wanted })
  let set: SetId | undefined
  let numbers: number[] = []
  for await (const { name } of store.list(prefix)) {
    const found = manifestPlaceOf(tenant, name)
    if (found === undefined) continue
    if (set !== undefined && set !== found.set) {
      yield { set, numbers }
      numbers = []
    }
    ;({ set } = found)
    numbers.push(found.sequence)
  }
  if (set !== undefined) yield { set, numbers }
}

async function readPortion(repository: Repository, portion: SetPortion): Promise<PointEntry[]> {
  const { set } = portion
  if (portion.kind === 'number') return [await readEntry(repository, set, portion.number)]
  const known = await readSegment(repository, set, portion.level, portion.last)
  const entries: PointEntry[] = []
  for (const number of portion.numbers) entries.push(known?.get(number) ?? (await readEntry(repository, set, number)))
  return entries
}

/** undefined: it is gone, or cannot be used. */
export async function readSegment(
  repository: Repository,
  set: SetId,
  level: number,
  last: number,
): Promise<ReadonlyMap<number, NumberEntry> | undefined> {
  const name = catalogName(repository.placeOf(set), level, last)
  try {
    const bytes = await repository.store.get(name, { bytesMax: catalogObjectBytesMax })
    const segment = decodeCatalog(name, bytes, repository.indexKeys)
    requireGroup(name, segment, firstOfGroup(level, last), last)
    return new Map(
      segment.entries.map(({ document, digest }) => [document.sequence, numberEntry(set, document, digest)]),
    )
  } catch (error) {
    if (hasCode(error, ...unusable)) return undefined
    throw error
  }
}

const unusable = [
  'E_OBJECT_MISSING',
  'E_OBJECT_ARCHIVED',
  'E_FORMAT_DAMAGED',
  'E_FORMAT_KIND',
  'E_FORMAT_NEWER',
  'E_SEAL_BROKEN',
  'E_LIMIT',
] as const
