import type { ObjectStore } from '../store/object-store.ts'

/** `store` with other methods in the place of some of its own: to fail where a disk would, or to act at that moment. */
export function storeWith(store: ObjectStore, methods: Partial<ObjectStore>): ObjectStore {
  return {
    description: store.description,
    copying: store.copying,
    put: (name, parts, options) => store.put(name, parts, options),
    compose: (name, ranges, parts) => store.compose(name, ranges, parts),
    get: (name, range) => store.get(name, range),
    head: (name) => store.head(name),
    list: (prefix, options) => store.list(prefix, options),
    listDirectories: (prefix, options) => store.listDirectories(prefix, options),
    setTags: (name, tags) => store.setTags(name, tags),
    tags: (name) => store.tags(name),
    listTagged: store.listTagged,
    lockability: () => store.lockability(),
    lock: (name, lock) => store.lock(name, lock),
    lockOf: (name) => store.lockOf(name),
    setLegalHold: (name, on) => store.setLegalHold(name, on),
    delete: (name) => store.delete(name),
    now: () => store.now(),
    close: () => store.close(),
    ...methods,
  }
}
