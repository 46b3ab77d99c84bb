import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Place } from './place.ts'

interface ListedHold {
  readonly set: string
  readonly point: string | null
  readonly note: string
}

describeWith(redisRequirement, 'strata hold', () => {
  let place: Place
  before(async () => {
    place = await Place.withPoint()
    for (const set of ['web1', 'web1@data', 'web10']) await place.backUp(place.file('disk.img'), set)
  })
  after(() => place[Symbol.asyncDispose]())

  const held = async (): Promise<string[]> =>
    (await place.answers<ListedHold[]>('hold', 'list')).map(({ set, point }) =>
      point === null ? set : `${set} ${point}`,
    )

  test('an endpoint is held with all of its sets, and no other', async () => {
    await place.answers('hold', 'add', '--endpoint', 'web1', '--note', 'audit')
    assert.deepEqual((await held()).toSorted(), ['web1', 'web1@data'])
    await place.answers('hold', 'remove', '--set', 'web1')
    const { sets } = await place.answers<{ sets: { set: string }[] }>('hold', 'remove', '--endpoint', 'web1')
    assert.deepEqual(
      sets.map(({ set }) => set),
      ['web1@data'],
    )
    assert.deepEqual(await held(), [])
    await place.refuses('E_HOLD_UNKNOWN', ['hold', 'remove', '--endpoint', 'web1'])
  })

  test('a point is held, also a set of which there is none yet', async () => {
    const { point } = await place.backUp(place.file('disk.img'), 'web10')
    await place.answers('hold', 'add', point)
    assert.deepEqual(await held(), [`web10 ${point}`])
    await place.answers('hold', 'remove', point)
    await place.answers('hold', 'add', '--set', 'to-come')
    await place.backUp(place.file('disk.img'), 'to-come')
    assert.deepEqual(await held(), ['to-come'])
    await place.answers('hold', 'remove', '--set', 'to-come')
  })

  test('bad input: endpoints that are not there, or are none; two things at once; locks without a store that has them', async () => {
    await place.refuses('E_SET_UNKNOWN', ['hold', 'add', '--endpoint', 'nobody'])
    await place.refuses('E_ENDPOINT_NAME', ['hold', 'add', '--endpoint', 'web1@data'])
    await place.refuses('E_USAGE', ['hold', 'add', '--endpoint', 'web1', '--set', 'web1'], { exitCode: 2 })
    await place.refuses('E_USAGE', ['hold', 'add'], { exitCode: 2 })
    await place.refuses('E_STORE_NO_LOCK', ['hold', 'add', 'latest:web1', '--lock'])
  })

  test('a set whose newest point is damaged is held all the same, and one that nobody can read is told', async () => {
    await place.backUp(place.file('disk.img'), 'web2')
    await place.backUp(place.file('disk.img'), 'web2')
    const newest = (await place.manifests()).filter((name) => name.endsWith('/0000000002')).at(-1) ?? assert.fail()
    const set = newest.slice(0, -1)
    await truncate(place.stored(newest), 80)
    // It is of one of these two.
    for (const endpoint of ['web2', 'web10']) await place.answers('hold', 'add', '--endpoint', endpoint)
    assert.deepEqual((await held()).toSorted(), ['web10', 'web2'])
    await truncate(place.stored(`${set}1`), 80)
    const { exitCode, messages } = await place.run(['hold', 'add', '--endpoint', 'nobody'])
    assert.equal(exitCode, 1)
    assert.match(messages, /no point that can be read[^]*E_POINT_DAMAGED: 1 set may be of 'nobody'/)
  })
})
