import assert from 'node:assert/strict'
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { decodeDocument, encodeDocument } from '@strata/shared/format/document.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import { sessionType } from '@strata/shared/format/session.ts'
import { voidType } from '@strata/shared/format/void.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import { sessionLifeMs } from '@strata/shared/limits.ts'
import { openRepository, type Repository } from '@strata/shared/repository/repository.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { PointAnswer, VerifyAnswer } from '../fixtures/strata-program.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertRefusal, dayMs, describeRun, Hold, killOwn, Place, preload, until } from './place.ts'

/** What killed backups have left in the store, two weeks later: the next backup clears it away, and nothing else. */
describeWith(redisRequirement, 'sessions that died', () => {
  let place: Place
  let repository: Repository
  before(async () => {
    place = await Place.withPoint()
    const store = await openStore(place.storeUrl, { env: {}, clock: systemClock, randomBytes: systemRandomBytes })
    repository = await openRepository(store, await readKeyring(place.file('state/keyring.json')), systemRandomBytes)
  })
  after(() => place[Symbol.asyncDispose]())

  const backup = (set: string): string[] => ['backup', place.file('disk.img'), '--set', set, '--json']

  /** Kills the service of a backup at a moment, and gives the id of the session that stays. */
  async function killedSession(set: string, moment: RegExp): Promise<string> {
    await place.changeDisk()
    const hold = await Hold.at(place, moment)
    const run = place.start(backup(set), { env: hold.env })
    await hold.reached(run)
    killOwn(await place.processOf('service'), 'SIGKILL')
    assertRefusal(await run.ended, 'E_WORKER_DIED')
    await place.untilNoProcess()
    const open = await place.object(/\/sessions\/.*\/open$/)
    return open.split('/').at(-2) ?? ''
  }

  /** As if a session had begun this long before. */
  async function makeOlder(ms: number): Promise<void> {
    const name = await place.object(/\/sessions\/.*\/open$/)
    const path = place.stored(name)
    const open = decodeDocument(sessionType, name, await readFile(path), repository.indexKeys)
    const older = (instant: string): string => new Date(Date.parse(instant) - ms).toISOString()
    const changed = { ...open, openedAt: older(open.openedAt), expiresAt: older(open.expiresAt) }
    await writeFile(path, encodeDocument(sessionType, name, changed, repository.indexKeys, repository.nonce()))
    const openedMs = Date.parse(changed.openedAt)
    await utimes(path, openedMs / 1000, openedMs / 1000)
  }

  /** Backs up, and waits while the backup opens its session until the sweep beside it has removed this. */
  async function backUpAndSweep(set: string, removed = /\/sessions\/.*\/(open|end)$/): Promise<void> {
    const hold = await Hold.at(place, /\/open$/)
    const run = place.start(backup(set), { env: hold.env })
    await hold.reached(run)
    await until(async () => ((await place.objects(removed)).length === 0 ? true : undefined))
    await hold.release()
    const ended = await run.ended
    assert.equal(ended.exitCode, 0, describeRun(ended))
    await place.assertNothingLeft(ended)
  }

  async function objectsOf(session: string): Promise<(string | undefined)[]> {
    return (await place.objects(new RegExp(session))).map((name) => name.split('/').at(-1))
  }

  test('in the middle of a pack, at the end, just before the point: a void each, and nothing else is left', async () => {
    for (const moment of [/\/data-/, /\/end$/, /\/points\//]) {
      const before = await place.points('good')
      const manifests = (await place.manifests()).length
      const session = await killedSession('good', moment)
      await makeOlder(sessionLifeMs + dayMs)
      await backUpAndSweep('good')
      assert.deepEqual(await objectsOf(session), ['over'])
      // A void, and the point of the backup that went on.
      assert.equal((await place.manifests()).length, manifests + 2)
      const points = await place.points('good')
      assert.equal(points.length, before.length + 1)
      assert.ok(!points.some(({ point }) => point === session))
    }
    const { state, points } = await place.answers<VerifyAnswer>('verify', '--all')
    assert.deepEqual([state, points.length], ['intact', 4])
    await place.assertRestores('latest:good', place.file('disk.img'))
    await place.assertStillGood()
  })

  test('what a worker has stored that woke up after all this is gone a day later', async () => {
    const overs = await place.objects(/\/over$/)
    assert.equal(overs.length, 3)
    const late = (await place.object(/\/points\/.*\/0000000001$/)).replace(/points.*/, '')
    for (const over of overs) {
      const path = place.stored(over)
      const [set = '', session = ''] = over.split('/').slice(-3)
      const { chain } = decodeDocument(sessionType, over, await readFile(path), repository.indexKeys)
      const directory = place.stored(`${late}chains/${set}/${chain}/${session}`)
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, 'data-00000000-0123456789abcdef'), 'a pack')
      await utimes(path, (Date.now() - dayMs) / 1000, (Date.now() - dayMs) / 1000)
    }
    await backUpAndSweep('good', /\/data-00000000-0123456789abcdef$/)
    await backUpAndSweep('good', /\/over$/)
  })

  test('just after the point: its documents go, and the point stays', async () => {
    await place.changeDisk()
    const hold = await Hold.after(place, /\/points\//)
    const run = place.start(backup('good'), { env: hold.env })
    await hold.reached(run)
    killOwn(await place.processOf('service'), 'SIGKILL')
    assertRefusal(await run.ended, 'E_WORKER_DIED')
    await place.untilNoProcess()
    const before = await place.manifests()
    const chains = await place.objects(/\/chains\//)
    await makeOlder(sessionLifeMs + dayMs)
    await backUpAndSweep('good')
    const kept = await place.objects(/\/chains\//)
    for (const name of chains) assert.ok(kept.includes(name), name)
    // No void: only the point of the backup that went on.
    assert.equal((await place.manifests()).length, before.length + 1)
    assert.equal((await place.answers<VerifyAnswer>('verify', '--all')).state, 'intact')
  })

  test('of a set without a point: there still is none, and the next backup is a full one', async () => {
    await killedSession('fresh', /\/data-/)
    await makeOlder(sessionLifeMs + dayMs)
    await backUpAndSweep('good')
    await place.refuses('E_SET_UNKNOWN', ['points', '--set', 'fresh'])
    await place.refuses('E_SET_UNKNOWN', ['restore', 'latest:fresh', '--to', place.file('none')])
    const { kind } = await place.backUp(place.file('disk.img'), 'fresh')
    assert.equal(kind, 'full')
    assert.equal((await place.points('fresh')).length, 1)
  })

  test('a clock that is weeks ahead, ours or by the document alone, removes nothing', async () => {
    const session = await killedSession('good', /\/data-/)
    const before = await place.objects(new RegExp(session))
    const env = {
      NODE_OPTIONS: `--import=${preload('shift-clock.mjs')}`,
      STRATA_TEST_CLOCK_SHIFT_MS: String(sessionLifeMs + dayMs),
    }
    const run = await place.run(backup('good'), { env })
    assert.equal(run.exitCode, 0, describeRun(run))
    assert.deepEqual(await place.objects(new RegExp(session)), before)
    await makeOlder(sessionLifeMs + dayMs)
    await backUpAndSweep('good')
    assert.deepEqual(await objectsOf(session), ['over'])
  })

  test('a void that is gone, or was replaced, is told by points and by verify', async () => {
    const gone = manifestName(repository.placeOf(repository.setIdOf('good')), 2)
    const path = place.stored(gone)
    const whole = await readFile(path)
    const given = decodeDocument(voidType, gone, whole, repository.indexKeys)
    const stranger = { ...given, previous: null }
    await writeFile(path, encodeDocument(voidType, gone, stranger, repository.indexKeys, repository.nonce()))
    const replaced = await listed()
    assert.deepEqual(
      replaced.filter(({ problems }) => problems.length > 0).map(({ sequence, state }) => [sequence, state]),
      [
        [2, 'void'],
        [3, 'complete'],
      ],
    )
    await rm(path)
    const missing = await listed()
    assert.deepEqual(
      missing.filter(({ problems }) => problems.length > 0).map(({ sequence, state }) => [sequence, state]),
      [[3, 'complete']],
    )
    const verified = await place.run(['verify', '--all', '--json'])
    assert.equal((JSON.parse(verified.output) as VerifyAnswer).state, 'damaged')
    await writeFile(path, whole)
    assert.equal((await place.answers<VerifyAnswer>('verify', '--all')).state, 'intact')
  })

  interface Listed extends PointAnswer {
    readonly sequence: number
    readonly problems: readonly unknown[]
  }

  /** The list of a set whose history is broken. */
  async function listed(): Promise<Listed[]> {
    const run = await place.run(['points', '--set', 'good', '--json'])
    assert.equal(run.exitCode, 1, describeRun(run))
    assert.ok(run.messages.includes('strata: E_HISTORY_BROKEN: '), describeRun(run))
    return JSON.parse(run.output) as Listed[]
  }
})
