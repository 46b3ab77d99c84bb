import type { ObjectStore } from '@strata/shared/store/object-store.ts'

/** In ascending order. Only for what a tenant has few of. */
export async function namesBelow(store: ObjectStore, prefix: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>()
  for await (const { name } of store.list(prefix)) names.add(name)
  return names
}
