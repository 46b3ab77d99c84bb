import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { usagePrefix } from '@strata/shared/format/names.ts'
import { usageSaveIntervalMs } from '@strata/shared/limits.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { makeTestRepository, seededRandom, standingClock } from '@strata/shared/testing/test-repository.ts'
import { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { UsageKeeper } from './usage-keeper.ts'

/** A clock whose sleeps end when a test says so. */
function steppedClock(): { readonly clock: Clock; readonly step: () => Promise<number> } {
  let waiting = Promise.withResolvers<{ ms: number; wake: () => void }>()
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
      waiting.resolve({ ms, wake: resolve })
    })
  const step = async (): Promise<number> => {
    const { ms, wake } = await waiting.promise
    waiting = Promise.withResolvers()
    wake()
    return ms
  }
  return { clock: { ...standingClock, sleep }, step }
}

test('what was asked is written down in turns, what comes after at the end, and what fails is told', async () => {
  const { repository, store } = makeTestRepository()
  let isAway = false
  const away = storeWith(store, {
    put: async (name, parts, options) => {
      if (isAway) throw new Error('away')
      await store.put(name, parts, options)
    },
  })
  const served = new Repository(away, repository.ingestKeys, seededRandom('served'))
  const { clock, step } = steppedClock()
  const meter = new UsageMeter(clock, seededRandom('meter'))
  const notes: string[] = []
  const keeper = new UsageKeeper({ meter, repositories: () => [served], clock, onNote: (note) => notes.push(note) })
  const ask = (): void => {
    const name = `tenants/${repository.tenant}/points/`
    meter.onRequest({ kind: 'list', name, bytesSent: 0, bytesReceived: 0 })
  }
  const written = async (): Promise<number> =>
    (await Array.fromAsync(store.list(usagePrefix(repository.tenant)))).length
  ask()
  assert.equal(await written(), 0)
  assert.equal(await step(), usageSaveIntervalMs)
  assert.equal(await step(), usageSaveIntervalMs)
  assert.equal(await written(), 1)
  assert.deepEqual(meter.unsaved(repository.tenant), [])
  ask()
  isAway = true
  await step()
  await step()
  assert.match(notes[0] ?? '', /^W_USAGE_LOST: .*away/)
  isAway = false
  await keeper.stop()
  assert.deepEqual(meter.unsaved(repository.tenant), [])
})
