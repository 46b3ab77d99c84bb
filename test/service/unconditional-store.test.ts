import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertRefusal, Place } from '../end-to-end/place.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import { redisRequirement, startRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

const both = {
  name: `${cephRgwRequirement.name} and ${redisRequirement.name}`,
  programs: [...cephRgwRequirement.programs, ...redisRequirement.programs],
  remedy: `${cephRgwRequirement.remedy}; ${redisRequirement.remedy}`,
}

describeWith(both, 'bad input: a service on a store that ignores create-if-absent', () => {
  test('no gateway and no worker starts on it, be it the store or the staging area, and each says why', async () => {
    await using place = await Place.empty()
    const rgw = await startCephRgw()
    const redis = await startRedis()
    const injector = await startFaultInjector(rgw.endpoint)
    // It takes every object, whatever the request says of one that is there.
    injector.setPlan(({ method }) =>
      method === 'PUT' ? { kind: 'answer', status: 200, headers: { etag: '"1"' } } : undefined,
    )
    const forgetful = (url: string): string =>
      url.replace(encodeURIComponent(new URL(rgw.endpoint).origin), encodeURIComponent(injector.origin))
    try {
      await rgw.createBucket('store')
      await rgw.createBucket('staging')
      const env = { ...rgw.env, STRATA_STORE: rgw.storeUrl('store'), STRATA_REDIS_URL: redis.url }
      await place.answersWith({ env: { ...env, STRATA_REDIS_URL: undefined } }, 'init')
      const serve = ['--json', 'serve', '--listen', '127.0.0.1:0']
      const ways = [
        { args: ['--staging', rgw.storeUrl('staging')], store: forgetful(env.STRATA_STORE) },
        { args: ['--staging', rgw.storeUrl('staging'), '--roles', 'commit'], store: forgetful(env.STRATA_STORE) },
        { args: ['--staging', forgetful(rgw.storeUrl('staging'))], store: env.STRATA_STORE },
      ]
      for (const { args, store } of ways) {
        const run = await place.run([...serve, ...args], { env: { ...env, STRATA_STORE: store } })
        assert.match(assertRefusal(run, 'E_STORE_UNCONDITIONAL').hint, /create-if-absent/)
      }
      await place.untilNoProcess()
    } finally {
      await Promise.all([injector.stop(), redis.stop()])
      await rgw.stop()
    }
  })
})
