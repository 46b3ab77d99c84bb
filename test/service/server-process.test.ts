import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { serverFileThreads } from '@strata/shared/limits.ts'
import { makeDisk, Place } from '../end-to-end/place.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Fleet } from './fleet.ts'

/** What a process of the service is prepared for. Told by /proc, which only Linux has. */
describeWith(redisRequirement, 'a process of the service', () => {
  let place: Place
  before(async () => {
    place = await Place.empty()
    await place.answers('init')
    await makeDisk(place.file('disk.img'), 1)
  })
  after(() => place[Symbol.asyncDispose]())

  test('has threads for many files at once', async () => {
    const fleet = new Fleet(place)
    const server = await fleet.serve()
    try {
      const machine = await fleet.machine('web1', server)
      await machine.backUp(place.file('disk.img'))
      const pid = server.run.child.pid ?? 0
      const names: string[] = []
      for (const thread of await readdir(`/proc/${String(pid)}/task`)) {
        names.push((await readFile(`/proc/${String(pid)}/task/${thread}/comm`, 'utf8')).trim())
      }
      assert.equal(names.filter((name) => name === 'libuv-worker').length, serverFileThreads)
    } finally {
      await fleet.stop()
    }
  })
})
