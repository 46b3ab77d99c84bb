import type { Clock } from '@strata/shared/clock.ts'
import { StagingInStore } from '@strata/shared/staging/staging-in-store.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'

/** A staging area in memory: what is staged is put into its store by hand, and nobody can upload. */
export function testStaging(clock: Clock): { readonly staging: StagingInStore; readonly store: MemoryStore } {
  const store = new MemoryStore({ clock })
  const signer = { sign: () => Promise.reject(new Error('nobody uploads here')) }
  return { staging: new StagingInStore(store, signer, { clock, randomBytes: seededRandom('staging') }), store }
}
