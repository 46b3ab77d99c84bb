import assert from 'node:assert/strict'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { retiredTags } from '@strata/shared/repository/retention/retired.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { dayMs, Place } from './place.ts'

/** A directory deletes nothing by itself: prune is the sweeper. */
let place: Place
before(async () => {
  place = await Place.withPoint()
  await writeFile(place.file('policy.json'), '{ "schedule": { "every": "1d" }, "retention": { "last": 2 } }')
  await place.answers('policy', 'apply', 'policy.json')
})
after(() => place[Symbol.asyncDispose]())

interface PruneAnswer {
  readonly expired: number
  readonly warnings: readonly unknown[]
}

test('prune deletes what was tagged a day ago, and a dry run does not', async () => {
  const store = await openStore(place.storeUrl, {
    env: {},
    clock: systemClock,
    randomBytes: systemRandomBytes,
  })
  const [old, young] = ['tenants/old', 'tenants/young']
  for (const name of [old, young]) {
    await store.put(name, [Buffer.from(name)])
    await store.setTags(name, retiredTags)
  }
  const twoDaysAgo = new Date(systemClock.nowMs() - 2 * dayMs)
  await utimes(join(place.file('store'), '~tags', old), twoDaysAgo, twoDaysAgo)
  assert.equal((await place.answers<PruneAnswer>('prune', '--dry-run')).expired, 0)
  const { expired, warnings } = await place.answers<PruneAnswer>('prune')
  assert.deepEqual([expired, warnings], [1, []])
  assert.equal(await store.head(old), undefined)
  assert.notEqual(await store.head(young), undefined)
  await store.close()
  await place.assertStillGood()
})

test('a directory has no rules, and all is as it should be', async () => {
  interface Answer {
    readonly provider: string
    readonly rules: readonly unknown[]
    readonly conflicts: readonly unknown[]
  }
  for (const step of ['plan', 'apply', 'check']) {
    const { provider, rules, conflicts } = await place.answers<Answer>('lifecycle', step)
    assert.deepEqual([provider, rules, conflicts], ['directory', [], []])
  }
})
