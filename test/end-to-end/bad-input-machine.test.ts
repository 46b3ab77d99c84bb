import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import { mounted } from '../fixtures/loop-device.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith, rootRequirement } from '../servers/require-server.ts'
import { assertRefusal, dayMs, Hold, MiB, Place, preload, writeAt, type Run, withoutPrivileges } from './place.ts'

/** A machine whose clock is wrong, or that has no room or no rights where the program needs them. */
describeWith(redisRequirement, 'bad input: the machine', () => {
  let place: Place
  let args: readonly string[]
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good']
  })
  after(() => place[Symbol.asyncDispose]())

  for (const [wrong, shiftMs] of [
    ['a day ahead', dayMs],
    ['a day behind', -dayMs],
    ['before it began', -Date.now()],
  ] as const) {
    test(`a clock that is ${wrong}: the point is made with the store's time, and a warning`, async () => {
      const env = {
        NODE_OPTIONS: `--import=${preload('shift-clock.mjs')}`,
        STRATA_TEST_CLOCK_SHIFT_MS: String(shiftMs),
      }
      await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, wrong))
      const before = Date.now()
      const answer = await place.answersWith<BackupAnswer & { createdAt: string; capturedAt: string }>({ env }, ...args)
      assert.deepEqual(
        answer.warnings.map(({ code }) => code),
        ['W_CLOCK_SKEW'],
      )
      // The store's own times may be a little coarser than ours.
      const createdMs = Date.parse(answer.createdAt)
      assert.ok(createdMs >= before - 1000 && createdMs <= Date.now() + 1000, answer.createdAt)
      assert.ok(Math.abs(Date.parse(answer.capturedAt) - (before + shiftMs)) < dayMs / 24, answer.capturedAt)
      assert.equal((await place.answersWith<{ state: string }>({ env }, 'verify', '--all')).state, 'intact')
      await place.assertStillGood()
    })
  }

  test('a hand-over directory that is missing, a file, or not for this user', async () => {
    await writeFile(place.file('file'), '')
    await mkdir(place.file('closed'), { mode: 0o500 })
    const through = withoutPrivileges()
    for (const name of ['nowhere', 'file', 'closed']) {
      const env = { STRATA_HANDOVER_DIR: place.file(name) }
      const { message, hint } = await place.refuses('E_HANDOVER_SPACE', args, { env, through })
      assert.ok(message.includes(place.file(name)), message)
      assert.match(hint, /STRATA_HANDOVER_DIR/)
    }
    await place.assertStillGood()
  })

  test('a hand-over directory that vanishes in the middle', async () => {
    await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, 'vanishing'))
    const folder = place.file('other-hand-over')
    const vanishingAt = async (moment: RegExp): Promise<Run> => {
      await mkdir(folder)
      const hold = await Hold.at(place, moment)
      const run = place.start([...args, '--json'], { env: { ...hold.env, STRATA_HANDOVER_DIR: folder } })
      await hold.reached(run)
      await rm(folder, { recursive: true })
      await hold.release()
      const ended = await run.ended
      await place.assertNothingLeft()
      await rm(folder, { recursive: true, force: true })
      return ended
    }
    assertRefusal(await vanishingAt(/\/open$/), 'E_HANDOVER_SPACE')
    // What was in it is stored by now, and nothing else of it is needed.
    const { exitCode, messages } = await vanishingAt(/\/data-/)
    assert.equal(exitCode, 0, messages)
    await place.assertStillGood()
  })

  test('a directory for temporary files that is missing, or too deep for a socket', async () => {
    await place.refuses('E_CONFIGURATION', args, { env: { TMPDIR: place.file('nowhere') } })
    // Where its path would be too long for a socket, the private Redis has its own elsewhere.
    const deep = join(place.file('tmp'), 'd'.repeat(120))
    await mkdir(deep)
    await place.answersWith({ env: { TMPDIR: deep } }, ...args)
    await rm(deep, { recursive: true })
    await place.assertStillGood()
  })

  test('a state directory that cannot be written', async () => {
    await writeFile(place.file('file'), '')
    const env = { STRATA_STATE: place.file('file/state'), STRATA_KEYRING: place.file('state/keyring.json') }
    const { hint } = await place.refuses('E_STATE_UNWRITABLE', args, { env })
    assert.match(hint, /STRATA_STATE/)
    await mkdir(place.file('closed-state'), { mode: 0o500 })
    const through = withoutPrivileges()
    await place.refuses('E_STATE_UNWRITABLE', args, {
      env: { ...env, STRATA_STATE: place.file('closed-state') },
      through,
    })
    await place.assertStillGood()
  })

  test('what the machine remembers of a set is damaged: the map is asked instead', async () => {
    const set = await readdirOnly(place.file('state/sets'))
    const path = join(place.file('state/sets'), set, 'disk.img.digests')
    const spoiled: readonly ((bytes: Buffer) => Uint8Array)[] = [
      () => Buffer.alloc(0),
      (bytes) => bytes.subarray(0, -1),
      (bytes) => Buffer.alloc(bytes.length, 1),
      (bytes) => (bytes.writeUInt8(bytes.readUInt8(firstDigestAt) ^ 1, firstDigestAt), bytes),
    ]
    for (const spoil of spoiled) {
      await writeFile(path, spoil(await readFile(path)))
      const answer = await place.answers<BackupAnswer>(...args)
      assert.deepEqual(
        answer.warnings.map(({ code }) => code),
        ['W_DIGESTS_LOST'],
      )
      assert.deepEqual([answer.kind, answer.changedBytes], ['incremental', 0])
    }
    await rm(path)
    await mkdir(path)
    const answer = await place.answers<BackupAnswer>(...args)
    assert.deepEqual([...new Set(answer.warnings.map(({ code }) => code))], ['W_DIGESTS_LOST'])
    await rm(path, { recursive: true })
    await place.assertStillGood()
  })
})

describeWith(rootRequirement, 'bad input: file systems that are too small', () => {
  const tmpfs = (size: string): string[] => ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs']

  test('a hand-over directory that is too small says how much is needed; one that fills up in the middle ends the run', async () => {
    await using place = await Place.withPoint()
    const args = ['backup', place.file('disk.img'), '--set', 'good']
    const folder = place.file('small')
    const env = { STRATA_HANDOVER_DIR: folder }
    await mkdir(folder)
    {
      await using _small = await mounted(tmpfs('16m'), folder)
      const { message } = await place.refuses('E_HANDOVER_SPACE', args, { env })
      assert.match(message, /16777216 bytes free.*67108864/)
    }
    {
      await using _small = await mounted(tmpfs('65m'), folder)
      await place.answersWith({ env }, ...args)
      await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, 'filling'))
      const hold = await Hold.at(place, /\/open$/)
      const run = place.start([...args, '--json'], { env: { ...env, ...hold.env } })
      await hold.reached(run)
      await writeFile(join(folder, 'filler'), Buffer.alloc(66 * MiB)).catch((error: unknown) => {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
      })
      await hold.release()
      assertRefusal(await run.ended, 'E_HANDOVER_SPACE')
      await rm(join(folder, 'filler'))
      await place.assertNothingLeft()
      assert.deepEqual(await readdir(folder), [])
      await place.answersWith({ env }, ...args)
    }
    await place.assertStillGood()
  })

  test('a state directory without space: no point where its digests could not be kept while it ran', async () => {
    await using place = await Place.withPoint()
    const folder = place.file('small-state')
    await mkdir(folder)
    const env = { STRATA_STATE: folder, STRATA_KEYRING: place.file('state/keyring.json') }
    await using _small = await mounted(tmpfs('64k'), folder)
    await writeFile(join(folder, 'filler'), Buffer.alloc(128 * 1024)).catch((error: unknown) => {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    })
    await place.refuses('E_STATE_UNWRITABLE', ['backup', place.file('disk.img'), '--set', 'good'], { env })
    await place.assertStillGood()
  })
})

/** In a digest file; see agent/src/track/digest-file.ts. */
const firstDigestAt = 4096

async function readdirOnly(path: string): Promise<string> {
  const [name, another] = await readdir(path)
  assert.ok(name !== undefined && another === undefined)
  return name
}
