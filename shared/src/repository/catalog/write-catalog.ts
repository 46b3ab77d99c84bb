import { hasCode } from '../../errors.ts'
import { encodeCatalog, fitsCatalog, type CatalogSegment } from '../../format/catalog.ts'
import { catalogName } from '../../format/names.ts'
import { catalogGroups, storeRequestsInFlightMax } from '../../limits.ts'
import type { SetId } from '../../types.ts'
import { mapConcurrently } from '../concurrency.ts'
import { isUnreadable, isVoid, readEntry, type NumberEntry } from '../points.ts'
import type { Repository } from '../repository.ts'
import { firstOfGroup } from './cover.ts'
import { readSegment } from './read-catalog.ts'

/**
 * Writes the segments that end with a number, where there are any: for whoever has just made, or found, that number. All
 * numbers before it exist and never change, so a segment is right for good; several writers write the same.
 * Gives how many were written. A number that cannot be read keeps its group out of the catalogue.
 */
export async function writeSegmentsEndingAt(repository: Repository, set: SetId, sequence: number): Promise<number> {
  let written = 0
  for (const [level, size] of catalogGroups.entries()) {
    if (sequence % size !== 0) break
    if (!(await writeSegment(repository, set, level, sequence))) break
    written += 1
  }
  return written
}

async function writeSegment(repository: Repository, set: SetId, level: number, last: number): Promise<boolean> {
  const entries = await entriesOf(repository, set, level, last)
  if (entries === undefined) return false
  const name = catalogName(repository.placeOf(set), level, last)
  const segment: CatalogSegment = {
    strata: 'catalog',
    version: 1,
    set,
    last,
    entries: entries
      .map((entry) => ({ digest: entry.digest, document: isVoid(entry) ? entry.void : entry.manifest }))
      .filter(({ document }) => fitsCatalog(document)),
  }
  const bytes = encodeCatalog(name, segment, repository.indexKeys, repository.nonce())
  try {
    await repository.store.put(name, [bytes], { ifAbsent: true })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
  }
  return true
}

/** By number; from the segments of the level below, and where one of them is missing from the manifests. */
async function entriesOf(
  repository: Repository,
  set: SetId,
  level: number,
  last: number,
): Promise<NumberEntry[] | undefined> {
  const below = level - 1
  const step = catalogGroups[below] ?? 1
  const known = new Map<number, NumberEntry>()
  if (below >= 0) {
    const lasts = stepsTo(firstOfGroup(level, last), last, step)
    const read = mapConcurrently(lasts, storeRequestsInFlightMax, (one) => readSegment(repository, set, below, one))
    for await (const segment of read) for (const [number, entry] of segment ?? []) known.set(number, entry)
  }
  const entries: NumberEntry[] = []
  const numbers = stepsTo(firstOfGroup(level, last), last, 1)
  const all = mapConcurrently(
    numbers,
    storeRequestsInFlightMax,
    async (number) => known.get(number) ?? (await readEntry(repository, set, number)),
  )
  for await (const entry of all) {
    if (isUnreadable(entry)) return undefined
    entries.push(entry)
  }
  return entries
}

/** The last numbers of the parts of a group. */
function stepsTo(first: number, last: number, step: number): number[] {
  return Array.from({ length: (last - first + 1) / step }, (_, index) => first - 1 + (index + 1) * step)
}
