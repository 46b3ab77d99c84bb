import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertHarmless, assertRefusal, describeRun, Hold, killOwn, Place, until } from './place.ts'

/** Processes of a backup that are killed or interrupted: nothing visible, nothing lost, and what stays is cleared away. */
describeWith(redisRequirement, 'bad input: a run that is killed or interrupted', () => {
  let place: Place
  let args: readonly string[]
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good', '--json']
  })
  after(() => place[Symbol.asyncDispose]())

  /** No process is left; what only a next run can clear away is gone after it. */
  async function assertRecovered(pointsBefore: number): Promise<void> {
    await place.untilNoProcess()
    assert.equal((await place.manifests()).length, pointsBefore)
    await place.assertStillGood()
    await place.assertNothingLeft()
    assert.equal((await place.manifests()).length, pointsBefore + 1)
  }

  const moments: readonly (readonly [string, RegExp])[] = [
    ['while the session is opened', /\/open$/],
    ['while a pack is stored', /\/data-/],
    ['while the session ends', /\/end$/],
    ['just before the point is visible', /\/points\//],
  ]

  for (const [when, moment] of moments) {
    test(`the service process is killed ${when}`, async () => {
      await place.changeDisk()
      const before = (await place.manifests()).length
      const hold = await Hold.at(place, moment)
      const run = place.start(args, { env: hold.env, asShellDoes: true })
      await hold.reached(run)
      killOwn(await place.processOf('service'), 'SIGKILL')
      assertRefusal(await run.ended, 'E_WORKER_DIED')
      await assertRecovered(before)
    })

    test(`the agent is killed ${when}`, async () => {
      await place.changeDisk()
      const before = (await place.manifests()).length
      const hold = await Hold.at(place, moment)
      const run = place.start(args, { env: hold.env, asShellDoes: true })
      await hold.reached(run)
      killOwn(await place.processOf('agent'), 'SIGKILL')
      const { output } = await run.ended
      assert.equal(output, '')
      // Nobody is left who would take a point: but a commit that was asked for may come to its end.
      await hold.release()
      await place.untilNoProcess()
      const committing = /end|points/.test(moment.source)
      const added = (await place.manifests()).length - before
      assert.ok(added === 0 || (committing && added === 1), `${String(added)} points were added`)
      await assertRecovered(before + added)
    })
  }

  test('the service process is killed just after the point is visible: nobody was told, and there it is', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const hold = await Hold.after(place, /\/points\//)
    const run = place.start(args, { env: hold.env })
    await hold.reached(run)
    killOwn(await place.processOf('service'), 'SIGKILL')
    const { hint } = assertRefusal(await run.ended, 'E_WORKER_DIED')
    assert.match(hint, /strata points/)
    await assertRecovered(before + 1)
    const [, visible] = (await place.points('good')).toSorted((a, b) => b.createdAt.localeCompare(a.createdAt))
    assert.ok(visible !== undefined)
    await place.assertRestores(visible.point, place.file('disk.img'))
  })

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
    test(`${signal} to the whole group of processes ends it in order`, async () => {
      await place.changeDisk()
      const before = await place.storedFiles()
      const hold = await Hold.at(place, /\/data-/)
      const run = place.start(args, { env: hold.env, ownGroup: true, asShellDoes: true })
      await hold.reached(run)
      run.signalGroup(signal)
      await until(() => Promise.resolve(run.messages.includes('interrupted') ? true : undefined))
      await hold.release()
      assertRefusal(await run.ended, 'E_INTERRUPTED', exitCode)
      await place.assertNothingLeft()
      assert.deepEqual(await place.storedFiles(), before)
      await place.assertStillGood()
    })
  }

  test('an interruption after the point is visible does not take it back', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const hold = await Hold.at(place, /\/points\//)
    const run = place.start(args, { env: hold.env, asShellDoes: true })
    await hold.reached(run)
    killOwn(await place.processOf('agent'), 'SIGINT')
    await until(() => Promise.resolve(run.messages.includes('interrupted') ? true : undefined))
    await hold.release()
    const ended = await run.ended
    assertHarmless(ended)
    const added = (await place.manifests()).length - before
    // Whichever way it went, the exit code tells which.
    assert.deepEqual([ended.exitCode, added], ended.exitCode === 0 ? [0, 1] : [130, 0], describeRun(ended))
    await assertRecovered(before + added)
  })

  test('in /dev/shm as well: the next run clears away what a killed one has left', async () => {
    const shared = '/dev/shm'
    const ofProcess = async (pid: number): Promise<string[]> =>
      (await readdir(shared)).filter((name) => name.startsWith(`strata-run-${String(pid)}-`))
    await place.changeDisk()
    const hold = await Hold.at(place, /\/data-/)
    const env = { ...hold.env, STRATA_HANDOVER_DIR: undefined }
    const run = place.start(args, { env })
    await hold.reached(run)
    const service = await place.processOf('service')
    const [name, another] = await ofProcess(service)
    assert.ok(name !== undefined && another === undefined)
    const files = await readdir(join(shared, name), { recursive: true })
    assert.ok(files.some((file) => file.endsWith('.segment')))
    killOwn(service, 'SIGKILL')
    assertRefusal(await run.ended, 'E_WORKER_DIED')
    await place.answersWith({ env: { STRATA_HANDOVER_DIR: undefined } }, ...args.slice(0, -1))
    assert.deepEqual(await ofProcess(service), [])
    await place.assertStillGood()
  })
})
