import type { ObjectStore } from '@strata/shared/store/object-store.ts'

/** What happens to one request; it may be done, or not. */
export type Around = <Result>(request: () => Promise<Result>) => Promise<Result>

/**
 * `store`, with each of its requests in the hands of `around`: to die there, or to let others act. A listing is one
 * request, which shows what was there at its time.
 */
export function steppedStore(store: ObjectStore, around: Around): ObjectStore {
  const { listTagged } = store
  return {
    description: store.description,
    copying: store.copying,
    put: (name, parts, options) => around(() => store.put(name, parts, options)),
    compose: (name, ranges, parts) => around(() => store.compose(name, ranges, parts)),
    get: (name, range) => around(() => store.get(name, range)),
    head: (name) => around(() => store.head(name)),
    async *list(prefix, options) {
      yield* await around(() => Array.fromAsync(store.list(prefix, options)))
    },
    async *listDirectories(prefix, options) {
      yield* await around(() => Array.fromAsync(store.listDirectories(prefix, options)))
    },
    setTags: (name, tags) => around(() => store.setTags(name, tags)),
    tags: (name) => around(() => store.tags(name)),
    listTagged:
      listTagged === undefined
        ? undefined
        : async function* (key, value, options) {
            yield* await around(() => Array.fromAsync(listTagged(key, value, options)))
          },
    lockability: () => store.lockability(),
    lock: (name, lock) => around(() => store.lock(name, lock)),
    lockOf: (name) => around(() => store.lockOf(name)),
    setLegalHold: (name, on) => around(() => store.setLegalHold(name, on)),
    delete: (name) => around(() => store.delete(name)),
    now: () => store.now(),
    close: () => store.close(),
  }
}

/** Before the request with this number, counted from 1, something else happens. `reached`: whether there was one. */
export function pausedAt(number: number, act: () => Promise<void>): { around: Around; reached: () => boolean } {
  let count = 0
  const around: Around = async (request) => {
    count += 1
    if (count === number) await act()
    return await request()
  }
  return { around, reached: () => count >= number }
}

/**
 * Dies at the request with this number: before it, or after it is done and before anybody hears of it. What is dead
 * makes no request any more. `reached`: whether it came to that.
 */
export function dyingAt(number: number, moment: 'before' | 'after'): { around: Around; reached: () => boolean } {
  let count = 0
  const around: Around = async (request) => {
    count += 1
    if (count < number) return await request()
    if (count === number && moment === 'after') await request()
    throw new Dead()
  }
  return { around, reached: () => count >= number }
}

export class Dead extends Error {}
