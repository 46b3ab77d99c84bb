import { tenantChainsPrefix } from '@strata/shared/format/names.ts'
import type { StoredNote } from '@strata/shared/format/usage.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, isId, type SetId } from '@strata/shared/types.ts'
import { ClassTotals } from './class-totals.ts'

/**
 * What lies in the chains of a tenant's sets by class, also what is retired and not gone yet. Documents beside them are
 * left out: they are small. A request for a thousand objects.
 * @param set left out: all sets
 */
export async function storedNow(repository: Repository, set?: SetId): Promise<ReadonlyMap<SetId, StoredNote>> {
  const { store, tenant } = repository
  const prefix = tenantChainsPrefix(tenant)
  const sets = new Map<SetId, ClassTotals>()
  for await (const info of store.list(set === undefined ? prefix : `${prefix}${set}/`)) {
    const [id = ''] = info.name.slice(prefix.length).split('/', 1)
    if (!isId(id)) continue
    const totals = sets.get(asId(id)) ?? new ClassTotals()
    sets.set(asId(id), totals)
    totals.add(info)
  }
  const at = new Date(await store.now()).toISOString()
  const noteOf = ({ all }: ClassTotals): StoredNote => ({
    at,
    classes: all.map(([name, of]) => ({ class: name, ...of })),
  })
  return new Map([...sets].map(([of, totals]) => [of, noteOf(totals)]))
}
