import { tenantChainsPrefix } from '@strata/shared/format/names.ts'
import type { StoredNote } from '@strata/shared/format/usage.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectInfo } from '@strata/shared/store/object-store.ts'
import { asId, isId, type SetId } from '@strata/shared/types.ts'

type ClassTotals = Map<string, { objects: number; bytes: number }>

/**
 * What lies in the chains of a tenant's sets by class, also what is retired and not gone yet. Documents beside them are
 * left out: they are small. A request for a thousand objects.
 * @param set left out: all sets
 */
export async function storedNow(repository: Repository, set?: SetId): Promise<ReadonlyMap<SetId, StoredNote>> {
  const { store, tenant } = repository
  const prefix = tenantChainsPrefix(tenant)
  const totals = new Map<SetId, ClassTotals>()
  for await (const info of store.list(set === undefined ? prefix : `${prefix}${set}/`)) {
    const [owner = ''] = info.name.slice(prefix.length).split('/', 1)
    if (isId(owner)) add(totals, asId(owner), info)
  }
  const at = new Date(await store.now()).toISOString()
  return new Map([...totals].map(([of, classes]) => [of, { at, classes: listed(classes) }]))
}

function add(totals: Map<SetId, ClassTotals>, set: SetId, { storageClass, sizeBytes }: ObjectInfo): void {
  const name = storageClass ?? 'standard'
  const ofSet = totals.get(set) ?? new Map<string, { objects: number; bytes: number }>()
  totals.set(set, ofSet)
  const { objects, bytes } = ofSet.get(name) ?? { objects: 0, bytes: 0 }
  ofSet.set(name, { objects: objects + 1, bytes: bytes + sizeBytes })
}

function listed(classes: ClassTotals): StoredNote['classes'] {
  return [...classes].map(([name, total]) => ({ class: name, ...total }))
}
