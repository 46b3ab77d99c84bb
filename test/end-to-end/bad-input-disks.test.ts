import assert from 'node:assert/strict'
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertHarmless, describeRun, Hold, makeDisk, MiB, Place, withLimits, writeAt, type Run } from './place.ts'

/** Disks that are not what their set's last point was made of, and several backups of one set at once. */
describeWith(redisRequirement, 'bad input: disks that differ from their chain', () => {
  let place: Place
  before(async () => {
    place = await Place.withPoint()
  })
  after(() => place[Symbol.asyncDispose]())

  const codesOf = ({ warnings }: BackupAnswer): string[] => warnings.map(({ code }) => code)

  test('a disk that grew continues its chain, with a warning; old and new points are exact', async () => {
    const path = place.file('grows.img')
    // Neither size is a whole number of blocks: what was the last block becomes a longer one.
    await makeDisk(path, 2, 4 * MiB + 5000)
    const first = await place.backUp(path, 'grows')
    await copyFile(path, place.file('before.img'))
    await truncate(path, 9 * MiB + 123)
    await writeAt(path, 8 * MiB, Buffer.from('new part'))
    const second = await place.backUp(path, 'grows')
    assert.deepEqual([second.kind, codesOf(second)], ['incremental', ['W_DISK_GREW']])
    // By a single byte of zeros: nothing to send, and yet another disk.
    await truncate(path, 9 * MiB + 124)
    const third = await place.backUp(path, 'grows', '--differential')
    assert.deepEqual([third.kind, codesOf(third)], ['differential', ['W_DISK_GREW']])
    await place.assertRestores(first.point, place.file('before.img'))
    await place.assertRestores(third.point, path)
    await truncate(path, 9 * MiB + 123)
    await place.assertRestores(second.point, path)
    assert.equal((await place.answers<{ state: string }>('verify', '--all')).state, 'intact')
  })

  test('a disk that shrank is refused; --full starts a new chain', async () => {
    const path = place.file('shrinks.img')
    await makeDisk(path, 3)
    const first = await place.backUp(path, 'shrinks')
    await copyFile(path, place.file('before.img'))
    await truncate(path, 8 * MiB - 1)
    for (const kind of [[], ['--differential']]) {
      const { message } = await place.refuses('E_DISK_SHRANK', ['backup', path, '--set', 'shrinks', ...kind])
      assert.match(message, /8388608 bytes .* 8388607/)
    }
    const second = await place.backUp(path, 'shrinks', '--full')
    assert.equal(second.kind, 'full')
    await place.assertRestores(first.point, place.file('before.img'))
    await place.assertRestores(second.point, path)
    assert.equal((await place.backUp(path, 'shrinks')).kind, 'incremental')
  })

  test('a chain that is long enough is not continued: the next point begins a new one, with a warning', async () => {
    const path = place.file('long.img')
    await makeDisk(path, 3)
    const env = withLimits({ chainPointsMax: 2, chainPointsDefault: 2 })
    const kinds: string[] = []
    for (let round = 1; round <= 4; round += 1) {
      await writeAt(path, MiB, Buffer.alloc(MiB, `round ${String(round)} `))
      const made = await place.answersWith<BackupAnswer>({ env }, 'backup', path, '--set', 'long')
      kinds.push([made.kind, ...codesOf(made)].join(' '))
      await place.assertRestores(made.point, path)
    }
    assert.deepEqual(kinds, ['full', 'incremental', 'full W_CHAIN_LONG', 'incremental'])
  })

  test('another disk under the name of one is refused; --full and another set take it', async () => {
    await makeDisk(place.file('other.img'), 4)
    const otherDisk = `disk.img=${place.file('other.img')}`
    const { message } = await place.refuses('E_DISK_IDENTITY', ['backup', otherDisk, '--set', 'good'])
    assert.match(message, /ext4:00000000-0000-4000-8000-000000000001.*ext4:00000000-0000-4000-8000-000000000004/)
    // A disk that has lost its mark may as well be any other.
    const blank = place.file('blank.img')
    await writeFile(blank, Buffer.alloc(8 * MiB))
    await place.refuses('E_DISK_IDENTITY', ['backup', `disk.img=${blank}`, '--set', 'good'])
    await place.assertStillGood()
    const full = await place.backUp(otherDisk, 'good', '--full')
    assert.equal(full.kind, 'full')
    await place.assertRestores(full.point, place.file('other.img'))
    await place.refuses('E_DISK_IDENTITY', ['backup', place.file('disk.img'), '--set', 'good'])
    await place.backUpGood('--full')
    await place.assertStillGood()
  })

  test('more, fewer or other disks than the chain has are refused', async () => {
    const source = place.file('disk.img')
    for (const sources of [[source, `more=${source}`], [`renamed=${source}`], [`DISK.IMG=${source}`]]) {
      await place.refuses('E_DISK_SET_CHANGED', ['backup', ...sources, '--set', 'good'])
    }
    await place.refuses('E_DISK_NAME', ['backup', source, source, '--set', 'good'])
    await place.refuses('E_DISK_NAME', ['backup', `a=${source}`, `A=${source}`, '--set', 'good'])
    const many = Array.from({ length: 65 }, (_, index) => `d${String(index)}=${source}`)
    await place.refuses('E_LIMIT', ['backup', ...many, '--set', 'many'])
    await place.assertStillGood()
  })

  test('block sizes that the chain does not have: none is wrong, but the format says which there are', async () => {
    const source = place.file('disk.img')
    for (const size of ['0', '32K', '8M', '100K']) {
      await place.refuses('E_USAGE', ['backup', source, '--set', 'good', `--block-size=${size}`], { exitCode: 2 })
    }
  })
})

describeWith(redisRequirement, 'bad input: several backups of one set at once', () => {
  let place: Place
  before(async () => {
    place = await Place.withPoint()
  })
  after(() => place[Symbol.asyncDispose]())

  const writers = ['a', 'b', 'c', 'd']

  /** The same disk at different moments: blocks that only this writer has, and blocks that all of them have changed. */
  async function makeMoment(writer: string, round: number): Promise<string> {
    const path = place.file(`moment-${writer}.img`)
    await copyFile(place.file('disk.img'), path)
    const number = writers.indexOf(writer)
    await writeAt(path, (2 + number) * MiB, Buffer.alloc(MiB / 2, `${writer}${String(round)}`))
    await writeAt(path, 7 * MiB, Buffer.alloc(MiB / 4, `${writer}${String(round)}`))
    return path
  }

  for (const [round, moment] of [/\/points\//, /\/data-/, undefined].entries()) {
    const when = ['all about to publish', 'all in the middle', 'as it comes'][round] ?? ''
    test(`four at once, ${when}: each makes a point of exactly its own disk`, async () => {
      const paths = await Promise.all(writers.map((writer) => makeMoment(writer, round)))
      const before = (await place.points('good')).length
      const hold = moment === undefined ? undefined : await Hold.at(place, moment)
      const runs = paths.map((path, number) =>
        place.start(['backup', `disk.img=${path}`, '--set', 'good', '--json'], {
          env: {
            ...hold?.env,
            // Two share what this machine remembers of the set; two have a memory of their own.
            ...(number < 2 ? {} : { STRATA_STATE: place.file(`state-${String(number)}`), STRATA_KEYRING: keyring() }),
          },
        }),
      )
      const [first] = runs
      assert.ok(first !== undefined)
      await hold?.reached(first, writers.length)
      await hold?.release()
      const ended = await Promise.all(runs.map((run) => run.ended))
      await place.assertNothingLeft()
      for (const [number, run] of ended.entries()) await assertOwnPoint(run, paths[number] ?? '')
      const points = await place.points('good')
      assert.equal(points.length, before + writers.length)
      assert.ok(points.every(({ state }) => state === 'complete'))
      await place.assertStillGood()
    })
  }

  function keyring(): string {
    return place.file('state/keyring.json')
  }

  async function assertOwnPoint(run: Run, path: string): Promise<void> {
    assert.equal(run.exitCode, 0, describeRun(run))
    assertHarmless(run)
    const { point, kind } = JSON.parse(run.output) as BackupAnswer
    assert.equal(kind, 'incremental')
    await place.assertRestores(point, path)
  }

  test('two first backups of a set at once: two fulls, each a chain of its own', async () => {
    const paths = await Promise.all(['a', 'b'].map((writer) => makeMoment(writer, 9)))
    const hold = await Hold.at(place, /\/points\//)
    const runs = paths.map((path) =>
      place.start(['backup', `disk.img=${path}`, '--set', 'first', '--json'], { env: hold.env }),
    )
    const [first] = runs
    assert.ok(first !== undefined)
    await hold.reached(first, 2)
    await hold.release()
    const answers = await Promise.all(
      runs.map(async (run) => {
        const ended = await run.ended
        assert.equal(ended.exitCode, 0, describeRun(ended))
        return JSON.parse(ended.output) as BackupAnswer & { chain: string; sequence: number }
      }),
    )
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['full', 'full'],
    )
    assert.deepEqual(answers.map(({ sequence }) => sequence).sort(), [1, 2])
    assert.notEqual(answers[0]?.chain, answers[1]?.chain)
    for (const [number, { point }] of answers.entries()) await place.assertRestores(point, paths[number] ?? '')
  })

  test('two init at once make one repository, and each tenant opens with its own secret', async () => {
    await using fresh = await Place.empty()
    const other = { STRATA_STATE: fresh.file('state-2'), STRATA_KEY_FILE: fresh.file('key-2') }
    const [one, two] = await Promise.all([fresh.run(['init', '--json']), fresh.run(['init', '--json'], { env: other })])
    assert.deepEqual([one.exitCode, two.exitCode], [0, 0], describeRun(one) + describeRun(two))
    const answers = [one, two].map(({ output }) => JSON.parse(output) as { repository: string; tenant: string })
    assert.equal(answers[0]?.repository, answers[1]?.repository)
    assert.notEqual(answers[0]?.tenant, answers[1]?.tenant)
    await writeFile(fresh.file('disk.img'), await readFile(place.file('disk.img')))
    await fresh.backUpGood()
    await fresh.assertStillGood()
    // The other tenant sees nothing of it.
    assert.deepEqual(await fresh.answersWith({ env: other }, 'points'), [])
    await fresh.refuses('E_TENANT_EXISTS', ['init'])
  })
})
