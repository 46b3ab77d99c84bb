import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertHarmless, assertRefusal, describeRun, Hold, killOwn, MiB, Place, until, writeAt } from './place.ts'

/** Processes of a backup that are killed or interrupted: nothing visible, nothing lost, and what stays is cleared away. */
describeWith(redisRequirement, 'bad input: a run that is killed or interrupted', () => {
  let place: Place
  let args: readonly string[]
  let round = 0
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good', '--json']
  })
  after(() => place[Symbol.asyncDispose]())

  /** A changed disk, so that there is something to send. */
  async function changeDisk(): Promise<void> {
    round += 1
    await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, `round ${String(round)} `))
  }

  /** No process is left; what only a next run can clear away is gone after it. */
  async function assertRecovered(pointsBefore: number): Promise<void> {
    await until(async () => ((await place.processes()).length === 0 ? true : undefined))
    assert.equal((await manifests()).length, pointsBefore)
    await place.assertStillGood()
    await place.assertNothingLeft()
    assert.equal((await manifests()).length, pointsBefore + 1)
  }

  const manifests = (): Promise<string[]> => place.objects(/\/points\//)
  const moments: readonly (readonly [string, RegExp])[] = [
    ['while the session is opened', /\/open$/],
    ['while a pack is stored', /\/data-/],
    ['while the session ends', /\/end$/],
    ['just before the point is visible', /\/points\//],
  ]

  for (const [when, moment] of moments) {
    test(`the service process is killed ${when}`, async () => {
      await changeDisk()
      const before = (await manifests()).length
      const hold = await Hold.at(place, moment)
      const run = place.start(args, { env: hold.env, asShellDoes: true })
      await hold.reached(run)
      killOwn(await place.processOf('service'), 'SIGKILL')
      assertRefusal(await run.ended, 'E_WORKER_DIED')
      await assertRecovered(before)
    })

    test(`the agent is killed ${when}`, async () => {
      await changeDisk()
      const before = (await manifests()).length
      const hold = await Hold.at(place, moment)
      const run = place.start(args, { env: hold.env, asShellDoes: true })
      await hold.reached(run)
      killOwn(await place.processOf('agent'), 'SIGKILL')
      const { output } = await run.ended
      assert.equal(output, '')
      // Nobody is left who would take a point: but a commit that was asked for may come to its end.
      await hold.release()
      await until(async () => ((await place.processes()).length === 0 ? true : undefined))
      const committing = /end|points/.test(moment.source)
      const added = (await manifests()).length - before
      assert.ok(added === 0 || (committing && added === 1), `${String(added)} points were added`)
      await assertRecovered(before + added)
    })
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
    test(`${signal} to the whole group of processes ends it in order`, async () => {
      await changeDisk()
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
    await changeDisk()
    const before = (await manifests()).length
    const hold = await Hold.at(place, /\/points\//)
    const run = place.start(args, { env: hold.env, asShellDoes: true })
    await hold.reached(run)
    killOwn(await place.processOf('agent'), 'SIGINT')
    await until(() => Promise.resolve(run.messages.includes('interrupted') ? true : undefined))
    await hold.release()
    const ended = await run.ended
    assertHarmless(ended)
    const added = (await manifests()).length - before
    // Whichever way it went, the exit code tells which.
    assert.deepEqual([ended.exitCode, added], ended.exitCode === 0 ? [0, 1] : [130, 0], describeRun(ended))
    await assertRecovered(before + added)
  })

  test('in /dev/shm as well: the next run clears away what a killed one has left', async () => {
    const shared = '/dev/shm'
    const ofProcess = async (pid: number): Promise<string[]> =>
      (await readdir(shared)).filter((name) => name.startsWith(`strata-run-${String(pid)}-`))
    await changeDisk()
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
