import { chainObjectOf, chainPrefix, type ChainPlace } from '@strata/shared/format/names.ts'
import { objectInChain } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { StoredObject } from './check-object.ts'

/** An object of a chain, with what decides when it is read. */
export interface ChainObject extends StoredObject {
  readonly place: ChainPlace
  /** Its name below the chain. */
  readonly object: string
  readonly attempt: string
  /** Number of the point that brought it to the chain. */
  readonly sequence: number
}

/**
 * Packs and page packs below a prefix of a chain, by name. Those of sessions that have become no point (yet) are nobody's:
 * `onObject` hears of them as well.
 */
export async function* listObjects(
  { store }: Repository,
  place: ChainPlace,
  sequences: ReadonlyMap<string, number>,
  {
    prefix = chainPrefix(place),
    onObject,
  }: { prefix?: string; onObject?: (object: string, sizeBytes: number) => void },
): AsyncGenerator<ChainObject> {
  for await (const { name, sizeBytes } of store.list(prefix)) {
    const parsed = chainObjectOf(place, name)
    if (parsed === undefined) continue
    const object = objectInChain(place, name)
    onObject?.(object, sizeBytes)
    const sequence = sequences.get(parsed.reference.session)
    if (sequence === undefined) continue
    yield { ...parsed, name, sizeBytes, place, object, attempt: parsed.reference.attempt, sequence }
  }
}
