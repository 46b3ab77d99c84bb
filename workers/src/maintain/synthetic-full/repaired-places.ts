import { chainObjectOf, chainPrefix, packName, type ChainPlace } from '@strata/shared/format/names.ts'
import type { Place } from '@strata/shared/format/page.ts'
import { objectInChain, readRepairsIfWhole } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'

/**
 * Where the records of a chain are to be read: repairs are of their chain, so the new one gets the records that stand for
 * damaged ones, and needs none. One request where nothing was ever repaired.
 */
export async function placesIn(repository: Repository, chain: ChainPlace): Promise<(place: Place) => Place> {
  const repairs = await readRepairsIfWhole(repository, chain.chain)
  if (repairs.isEmpty) return (place) => place
  return (place) => {
    const { offset, pack } = place
    const to = repairs.find({ object: objectInChain(chain, packName(chain, 'data', pack)), offset })
    const other = to === undefined ? undefined : chainObjectOf(chain, chainPrefix(chain) + to.object)
    if (to === undefined || other?.kind !== 'data') return place
    return { pack: other.reference, offset: to.offset, length: to.length }
  }
}
