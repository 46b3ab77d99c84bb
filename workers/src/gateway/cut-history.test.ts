import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manifestDigest } from '@strata/shared/format/manifest.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import type { RememberedPoint } from '@strata/shared/protocol/uplink.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { cutHistory } from './cut-history.ts'

/** A set with manifests number 1 to `count`; what they hold does not matter here. */
async function setOf(count: number) {
  const { repository, store, requests } = makeTestRepository()
  const set = repository.setIdOf('machine')
  const points: RememberedPoint[] = []
  for (let sequence = 1; sequence <= count; sequence += 1) {
    const bytes = Buffer.from(`manifest ${String(sequence)}`)
    await store.put(manifestName(repository.placeOf(set), sequence), [bytes])
    points.push({ sequence, manifestDigest: manifestDigest(bytes) })
  }
  const check = async (newest: number, remembered: readonly RememberedPoint[]): Promise<string[]> => {
    const warnings = await cutHistory(repository, set, newest, remembered)
    assert.ok(warnings.every(({ code }) => code === 'W_HISTORY_CUT'))
    return warnings.map(({ message }) => message)
  }
  return { points, check, requests, remove: (at: number) => store.delete(manifestName(repository.placeOf(set), at)) }
}

test('what is there as it was remembered is no matter, the newest or not', async () => {
  const { points, check } = await setOf(3)
  assert.deepEqual(await check(3, points), [])
  assert.deepEqual(await check(3, []), [])
})

test('what is newer than the newest is missing, and needs no request', async () => {
  const { points, check, requests } = await setOf(3)
  const before = requests.length
  const [message = ''] = await check(1, points.slice(2))
  assert.ok(message.includes('point number 3') && message.includes(points[2]?.manifestDigest ?? '-'), message)
  assert.match(message, /the newest in the store is number 1: numbers 2 to 3 are missing/)
  assert.match((await check(2, points.slice(2)))[0] ?? '', /number 3 is missing/)
  assert.match((await check(0, points.slice(2)))[0] ?? '', /no point of the set: numbers 1 to 3 are missing/)
  assert.equal(requests.length, before)
})

test('another manifest under the number, or none in the middle, is told', async () => {
  const { points, check, remove } = await setOf(3)
  const other = { sequence: 2, manifestDigest: points[0]?.manifestDigest ?? '' }
  assert.match((await check(3, [other]))[0] ?? '', /point number 2 .* another manifest under that number/)
  await remove(2)
  const [message, ...more] = await check(3, points)
  assert.match(message ?? '', /point number 2 .* it is missing in the store/)
  assert.deepEqual(more, [])
})
