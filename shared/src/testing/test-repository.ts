import { createHash } from 'node:crypto'
import type { Clock, RandomBytes } from '../clock.ts'
import type { IndexKeys } from '../format/box.ts'
import { SealingKey } from '../format/xaes.ts'
import { Repository } from '../repository/repository.ts'
import { MemoryStore } from '../store/memory.ts'
import type { StoreRequest } from '../store/store-requests.ts'
import { asId, type Id, type TenantId } from '../types.ts'

/** Bytes that are the same in every run. */
export function seededRandom(seed: string): RandomBytes {
  let given = 0
  return (count) => {
    given += 1
    return new Uint8Array(
      createHash('shake256', { outputLength: count })
        .update(`${seed} ${String(given)}`)
        .digest(),
    )
  }
}

/** A clock that stands still. */
export const standingClock: Clock = {
  nowMs: () => Date.UTC(2026, 0, 1),
  monotonicMs: () => 0,
  sleep: () => Promise.resolve(),
}

/** Index keys of the given generations; the last is the current one. */
export function testIndexKeys(generations: readonly number[] = [1], seed = 'index'): IndexKeys {
  const keys = new Map(
    generations.map((generation) => [generation, new SealingKey(testKey(`${seed} ${String(generation)}`))]),
  )
  return { currentGeneration: generations.at(-1) ?? 1, key: (generation) => keys.get(generation) }
}

export function testKey(seed: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(seed).digest())
}

export interface TestRepository {
  readonly repository: Repository
  readonly store: MemoryStore
  /** Every request to the store so far. */
  readonly requests: StoreRequest[]
}

/** A tenant's part of a repository in memory, without its keys document: for what needs index keys only. */
export function makeTestRepository(
  seed = 'repository',
  { clock = standingClock, locks = false }: { readonly clock?: Clock; readonly locks?: boolean } = {},
): TestRepository {
  const requests: StoreRequest[] = []
  const store = new MemoryStore({ clock, locks, onRequest: (request) => requests.push(request) })
  const random = seededRandom(seed)
  const ingest = {
    repositoryId: asId<Id>(Buffer.from(random(16)).toString('hex')),
    tenantId: asId<TenantId>(Buffer.from(random(16)).toString('hex')),
    publicKey: random(32),
    indexKeys: new Map([[1, random(32)]]),
    currentGeneration: 1,
  }
  return { repository: new Repository(store, ingest, random), store, requests }
}
