import assert from 'node:assert/strict'
import { copyFile, readdir, rm, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { manifestType, type Manifest } from '@strata/shared/format/manifest.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import { latestPoint, type Point } from '@strata/shared/repository/points.ts'
import { openRepository, type Repository } from '@strata/shared/repository/repository.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { PointAnswer, VerifyAnswer } from '../fixtures/strata-program.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertHarmless, describeRun, Place } from './place.ts'

/** Points that nobody made, and names that mean harm. */
describeWith(redisRequirement, 'bad input: points and names', () => {
  let place: Place
  before(async () => {
    place = await Place.withPoint()
  })
  after(() => place[Symbol.asyncDispose]())

  const nowhere = ['--to', 'target.img']

  test('points, sets and disks that are not there', async () => {
    const source = place.file('disk.img')
    const { point } = await place.answers<PointAnswer>('backup', `a=${source}`, `b=${source}`, '--set', 'two')
    for (const [reference, code] of [
      ['abcdef', 'E_POINT_UNKNOWN'],
      ['0'.repeat(32), 'E_POINT_UNKNOWN'],
      ['latest:nobody', 'E_SET_UNKNOWN'],
      ['latest:GOOD', 'E_SET_UNKNOWN'],
      ['latest:', 'E_SET_NAME'],
      [`${point}:c`, 'E_DISK_UNKNOWN'],
      ['latest:two:A', 'E_DISK_UNKNOWN'],
      [point, 'E_DISK_AMBIGUOUS'],
      ['latest:two', 'E_DISK_AMBIGUOUS'],
    ] as const) {
      const { message } = await place.refuses(code, ['restore', reference, ...nowhere])
      // Whoever must choose is told among what.
      if (code === 'E_DISK_UNKNOWN' || code === 'E_DISK_AMBIGUOUS') assert.match(message, /'a', 'b'/)
    }
    for (const reference of ['abc', 'latest', '../../etc', `${point}:a:b`, '\u001b[31m']) {
      await place.refuses('E_USAGE', ['restore', reference, ...nowhere], { exitCode: 2 })
    }
    await place.refuses('E_POINT_UNKNOWN', ['verify', 'abcdef'])
    await place.refuses('E_SET_UNKNOWN', ['points', '--set', 'nobody'])
    await place.refuses('E_SET_UNKNOWN', ['verify', 'latest:nobody'])
    assert.ok(!(await readdir(place.directory.path)).includes('target.img'))
    await place.assertRestores(`${point}:b`, source)
    await place.assertStillGood()
  })

  test('the beginning of an id that two points share', async () => {
    const repository = await repositoryOf(place)
    const latest = await newest(repository, 'good')
    const { point } = latest.manifest
    const alike = `${point.slice(0, 8)}${(point[8] === '0' ? '1' : '0').repeat(24)}`
    const name = await publish(repository, latest, { point: alike })
    const { message, details } = await place.refuses('E_POINT_AMBIGUOUS', ['restore', point.slice(0, 6), ...nowhere])
    assert.match(message, /2 points/)
    assert.deepEqual(details?.['points'], [point, alike])
    await place.assertRestores(point.slice(0, 9), place.file('disk.img'))
    await rm(place.stored(name))
    await place.assertStillGood()
  })

  test('nothing to list is no error; nothing to verify is one', async () => {
    await using fresh = await Place.empty()
    await fresh.answers('init')
    assert.deepEqual(await fresh.points(), [])
    await fresh.refuses('E_POINT_UNKNOWN', ['verify', '--all'])
    await fresh.refuses('E_SET_UNKNOWN', ['restore', 'latest:good', ...nowhere])
  })

  test('names of sets: what could forge a terminal or a path is refused, whatever looks odd is kept apart', async () => {
    const source = place.file('disk.img')
    const before = (await readdir(place.directory.path)).sort()
    const refused = [
      ...['\u001b[2J', 'a\nb', '\u009b31m', '\u202egnp', 'zero\u200bwidth', '\u2028'],
      ...['../../../tmp/x', 'a:b', ' a', '', 'x'.repeat(201)],
    ]
    for (const name of refused) {
      const run = await place.run(['points', '--json', `--set=${name}`])
      assert.equal(run.exitCode, 1, describeRun(run))
      assert.match(run.output, /"E_SET_NAME"/)
      assertHarmless(run)
    }
    await place.refuses('E_SET_NAME', ['backup', source, `--set=${refused[0] ?? ''}`])
    // Latin and Cyrillic letters that look the same, both ways of writing ü, an option, a path upwards, the longest.
    const kept = ['paypal', 'pаypal', 'Büro'.normalize('NFC'), '-rf', '..', '日'.repeat(200)]
    const sets = new Set<string>()
    for (const name of kept) {
      const answer = await place.answers<{ set: string; setId: string; kind: string }>(
        'backup',
        source,
        `--set=${name}`,
      )
      assert.deepEqual([answer.set, answer.kind], [name, 'full'])
      sets.add(answer.setId)
    }
    assert.equal(sets.size, kept.length)
    const again = await place.answers<{ set: string; kind: string }>('backup', source, '--set', 'Büro'.normalize('NFD'))
    assert.deepEqual([again.set, again.kind], ['Büro'.normalize('NFC'), 'incremental'])
    // Neither is a name of a set in the store, nor anything outside of it.
    for (const object of await place.objects(/./)) assert.match(object, /^[a-z0-9/-]+$/)
    assert.deepEqual((await readdir(place.directory.path)).sort(), before)
    await place.assertStillGood()
  })

  test('names of disks: they become names of files', async () => {
    const source = place.file('disk.img')
    await copyFile(source, place.file('x=y.img'))
    for (const name of ['../../up', '-rf', 'a\u001b[2J', 'ü', 'x'.repeat(65)]) {
      // What is no name is a path, and that is not there.
      await place.refuses('E_SOURCE_MISSING', ['backup', '--set', 'names', '--', `${name}=${source}`])
    }
    const { point } = await place.backUp(`${'x'.repeat(64)}=${source}`, 'names')
    await place.assertRestores(point, source)
    assert.deepEqual(await readdir(place.file('state')), ['keyring.json', 'sets'])
  })

  test('names of tenants', async () => {
    await using fresh = await Place.empty()
    for (const name of ['', ' a', 'a\u001b[2J', 'a\nb', 'x'.repeat(201), '0'.repeat(32)]) {
      await fresh.refuses('E_USAGE', ['init', `--tenant=${name}`], { exitCode: 2 })
    }
    assert.deepEqual(await fresh.storedFiles(), [])
    const { tenantName } = await fresh.answers<{ tenantName: string }>('init', '--tenant', '-ünï../..')
    assert.equal(tenantName, '-ünï../..')
  })

  test('names in a manifest that somebody with the keys has made: shown, never obeyed', async () => {
    const repository = await repositoryOf(place)
    const latest = await newest(repository, 'good')
    const evil = '\u001b]0;owned\u0007\u001b[2J\r\n\u202e../../../../tmp/evil'
    const [disk] = latest.manifest.disks
    assert.ok(disk !== undefined)
    const name = await publish(repository, latest, {
      setName: evil,
      disks: [{ ...disk, name: evil, identity: { filesystem: evil } }],
      machine: { hostName: evil, system: evil, architecture: evil },
      warnings: [{ code: evil, message: evil }],
    })
    for (const args of [
      ['points'],
      ['points', '--set', 'good'],
      ['verify', '--all'],
      ['verify', 'latest:good'],
      ['restore', 'latest:good:none', ...nowhere],
      ['restore', 'latest:good', '--to', 'restored.img', '--force'],
      ['backup', place.file('disk.img'), '--set', 'good'],
    ]) {
      for (const json of [[], ['--json']]) {
        const run = await place.run([...args, ...json])
        assertHarmless(run)
        assert.ok(run.output + run.messages !== '', describeRun(run))
        assert.doesNotMatch(run.messages, /E_BUG/)
      }
    }
    const verified = await place.answers<VerifyAnswer>('verify', '--all')
    assert.equal(verified.state, 'intact')
    await rm(place.stored(name))
    await rm(place.file('restored.img'))
    await place.assertStillGood()
  })

  test('targets of a restore: nothing is written over, and nothing into the store', async () => {
    const target = place.file('precious')
    await writeFile(target, 'precious')
    const refused = [
      [target, 'E_TARGET_EXISTS'],
      [place.file('nowhere/x.img'), 'E_TARGET_UNWRITABLE'],
      [place.directory.path, 'E_TARGET_UNWRITABLE'],
      [place.file('store/x.img'), 'E_TARGET_IS_SOURCE'],
      [place.stored('repository'), 'E_TARGET_IS_SOURCE'],
    ] as const
    for (const [path, code] of refused) await place.refuses(code, ['restore', 'latest:good', '--to', path])
  })
})

async function repositoryOf(place: Place): Promise<Repository> {
  const store = await openStore(place.storeUrl, { env: {}, clock: systemClock, randomBytes: systemRandomBytes })
  return await openRepository(store, await readKeyring(place.file('state/keyring.json')), systemRandomBytes)
}

async function newest(repository: Repository, setName: string): Promise<Point> {
  const point = await latestPoint(repository, repository.setIdOf(setName))
  assert.ok(point !== undefined)
  return point
}

/** A manifest like that of `point`, next in its set, with members that no program of ours writes; gives its name. */
async function publish(repository: Repository, { set, sequence, manifest, digest }: Point, members: Partial<Manifest>) {
  const name = manifestName(repository.placeOf(set), sequence + 1)
  const next: Manifest = { ...manifest, sequence: sequence + 1, previous: digest, ...members }
  const bytes = encodeDocument(manifestType, name, next, repository.indexKeys, repository.nonce())
  await repository.store.put(name, [bytes], { ifAbsent: true })
  return name
}
