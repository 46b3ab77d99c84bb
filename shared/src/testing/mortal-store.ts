import type { ObjectStore } from '../store/object-store.ts'

/** What somebody meets whose process ends. */
export class Died extends Error {}

/**
 * `store` for a process that dies at its request number `request`, counted from 0: before it is made, or after it was
 * made and before its answer has come.
 */
export function mortalStore(store: ObjectStore, request: number, when: 'before' | 'after'): MortalStore {
  let made = 0
  const lived = async <T>(work: () => Promise<T>): Promise<T> => {
    const number = made
    made += 1
    if (number > request || (number === request && when === 'before')) throw new Died()
    const answer = await work()
    if (number === request) throw new Died()
    return answer
  }
  async function* listed<T>(list: AsyncIterable<T>): AsyncGenerator<T> {
    yield* await lived(() => Array.fromAsync(list))
  }
  const { listTagged } = store
  return {
    description: store.description,
    copying: store.copying,
    put: (name, parts, options) => lived(() => store.put(name, parts, options)),
    compose: (name, ranges, parts) => lived(() => store.compose(name, ranges, parts)),
    get: (name, range) => lived(() => store.get(name, range)),
    head: (name) => lived(() => store.head(name)),
    list: (prefix, options) => listed(store.list(prefix, options)),
    listDirectories: (prefix, options) => listed(store.listDirectories(prefix, options)),
    setTags: (name, tags) => lived(() => store.setTags(name, tags)),
    tags: (name) => lived(() => store.tags(name)),
    listTagged: listTagged === undefined ? undefined : (key, value, options) => listed(listTagged(key, value, options)),
    lockability: () => store.lockability(),
    lock: (name, lock) => lived(() => store.lock(name, lock)),
    lockOf: (name) => lived(() => store.lockOf(name)),
    setLegalHold: (name, on) => lived(() => store.setLegalHold(name, on)),
    delete: (name) => lived(() => store.delete(name)),
    now: () => lived(() => store.now()),
    close: () => store.close(),
    hasDied: () => made > request,
  }
}

export interface MortalStore extends ObjectStore {
  /** The request at which it dies was reached. */
  hasDied(): boolean
}
