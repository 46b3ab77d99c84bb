import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { boxKinds, openBox, sealBox } from '@strata/shared/format/box.ts'
import { manifestName } from '@strata/shared/format/names.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import { blockBytesDefault } from '@strata/shared/limits.ts'
import { latestPoint } from '@strata/shared/repository/points.ts'
import { openRepository, type Repository } from '@strata/shared/repository/repository.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { storedPoint, type StoredRange } from '../fixtures/stored-places.ts'
import type { PointAnswer, VerifyAnswer } from '../fixtures/strata-program.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertRefusal, describeRun, Hold, MiB, Place, writeAt } from './place.ts'

/**
 * Objects of the store that are damaged, cut, swapped, gone, another's, or of a newer format: what each command says
 * of them, and that the right object in its place makes everything good again.
 */
describeWith(redisRequirement, 'bad input: objects of the store', () => {
  let place: Place
  /** Another tenant of the same store. */
  let tenant: string
  /** Another repository, made alike. */
  let foreign: Place
  let repository: Repository
  let objects: PointObjects

  before(async () => {
    ;[place, foreign] = await Promise.all([Place.withPoint(), Place.withPoint()])
    await writeAt(place.file('disk.img'), 5 * MiB, Buffer.alloc(MiB, 'second'))
    await place.backUpGood()
    const other = { env: { STRATA_STATE: place.file('other-state') } }
    const made = await place.answersWith<{ tenant: string }>(other, 'init', '--tenant', 'other')
    tenant = made.tenant
    await place.answersWith(other, 'backup', place.file('disk.img'), '--set', 'good')
    repository = await repositoryOf(place)
  })
  beforeEach(async () => {
    objects = await newestObjects(repository)
  })
  after(() => Promise.all([place[Symbol.asyncDispose](), foreign[Symbol.asyncDispose]()]))

  /** What a command says: a code, or `damaged` from verify, which goes on. */
  interface Expected {
    readonly points?: ErrorCode
    readonly restore?: ErrorCode
    readonly verify?: ErrorCode | 'damaged'
    readonly backup?: ErrorCode
    /** The same where all is sent before it is met: the packs stay. */
    readonly backupAtItsEnd?: ErrorCode
  }

  /** Puts `bytes` (null: nothing) in an object's place, sees what the commands say, and puts the object back. */
  async function assertSaid(name: string, bytes: Uint8Array | null, expected: Expected): Promise<void> {
    const path = place.stored(name)
    const whole = await readFile(path)
    if (bytes === null) await rm(path)
    else await writeFile(path, bytes)
    try {
      await assertCommands(expected)
    } finally {
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, whole)
    }
  }

  async function assertCommands(expected: Expected): Promise<void> {
    const before = await place.storedFiles()
    const target = place.file('target.img')
    if (expected.points !== undefined) {
      const run = await place.run(['points', '--json'])
      // A list with something wrong in it is told all the same, and by its exit code.
      if (run.output.startsWith('[')) {
        assert.equal(run.exitCode, 1, describeRun(run))
        assert.ok(run.messages.includes(`strata: ${expected.points}: `), describeRun(run))
      } else assertRefusal(run, expected.points)
    }
    if (expected.restore !== undefined) {
      await place.refuses(expected.restore, ['restore', 'latest:good', '--to', target])
      await assert.rejects(readFile(target), { code: 'ENOENT' })
    }
    if (expected.verify === 'damaged') {
      const run = await place.run(['verify', '--all', '--json'])
      assert.equal(run.exitCode, 3, describeRun(run))
      assert.equal((JSON.parse(run.output) as VerifyAnswer).state, 'damaged')
      // What it has noted would change what a backup does (test/verify/heal.test.ts).
      await rm(place.stored(`tenants/${repository.tenant}/scrub`), { recursive: true, force: true })
    } else if (expected.verify !== undefined) await place.refuses(expected.verify, ['verify', '--all'])
    const backup = ['backup', place.file('disk.img'), '--set', 'good']
    if (expected.backup !== undefined) {
      const { hint } = await place.refuses(expected.backup, backup)
      assert.match(hint, /--full|upgrade|store|keyring|init|verify/i)
    }
    assert.deepEqual(await place.storedFiles(), before)
    if (expected.backupAtItsEnd !== undefined) {
      const { hint } = await place.refuses(expected.backupAtItsEnd, backup, { mayLeavePacks: true })
      assert.match(hint, /--full/)
    }
  }

  async function changed(name: string, change: (bytes: Buffer) => Uint8Array): Promise<Uint8Array> {
    return change(await readFile(place.stored(name)))
  }

  const flippedAt =
    (offset: number) =>
    (bytes: Buffer): Buffer => {
      bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset)
      return bytes
    }
  const allOf = (code: ErrorCode): Expected => ({ points: code, restore: code, verify: code, backup: code })

  test("the repository's document", async () => {
    const name = 'repository'
    const replaced = (from: string | RegExp, to: string) =>
      changed(name, (bytes) => Buffer.from(bytes.toString().replace(from, to)))
    await assertSaid(name, await changed(name, (bytes) => bytes.subarray(0, -1)), { points: 'E_FORMAT_DAMAGED' })
    await assertSaid(name, null, allOf('E_REPOSITORY_MISSING'))
    await assertSaid(name, await replaced('"version":1', '"version":2'), allOf('E_FORMAT_NEWER'))
    await assertSaid(name, await replaced('"writeVersion":1', '"writeVersion":2'), { backup: 'E_FORMAT_NEWER' })
    await assertSaid(name, await replaced('"strata":"repository"', '"strata":"manifest"'), { points: 'E_FORMAT_KIND' })
    await assertSaid(name, Buffer.alloc(5 * MiB, ' '), { points: 'E_FORMAT_DAMAGED' })
    await assertSaid(name, await readFile(foreign.stored(name)), allOf('E_KEY_FOREIGN'))
    await place.assertStillGood()
  })

  test("the tenant's keys: a backup that nobody could open is not made", async () => {
    const name = `tenants/${repository.tenant}/keys/00000001`
    const secretly = (code: ErrorCode): Expected => ({ restore: code, backup: code })
    await assertSaid(name, await changed(name, (bytes) => bytes.subarray(0, 300)), secretly('E_FORMAT_DAMAGED'))
    await assertSaid(name, null, secretly('E_TENANT_UNKNOWN'))
    const newer = await changed(name, (bytes) => Buffer.from(bytes.toString().replace('"version":1', '"version":3')))
    await assertSaid(name, newer, secretly('E_FORMAT_NEWER'))
    const others = await readFile(place.stored(`tenants/${tenant}/keys/00000001`))
    await assertSaid(name, others, secretly('E_KEY_FOREIGN'))
    await assertSaid(name, await readFile(foreign.stored(await foreign.object(/\/keys\//))), secretly('E_KEY_FOREIGN'))
    // What only the holder of the secret can see.
    const altered = await changed(name, (bytes) => {
      const last = bytes.length - 3
      bytes.write(bytes.toString('latin1', last, last + 1) === '0' ? '1' : '0', last)
      return bytes
    })
    await assertSaid(name, altered, { restore: 'E_SEAL_BROKEN', verify: 'E_SEAL_BROKEN' })
    await place.assertStillGood()
  })

  test('a manifest', async () => {
    const name = objects.manifest
    const before = `${name.slice(0, -1)}${String(Number(name.slice(-1)) - 1)}`
    const broken = {
      points: 'E_SEAL_BROKEN',
      restore: 'E_SEAL_BROKEN',
      verify: 'damaged',
      backup: 'E_SEAL_BROKEN',
    } as const
    const damaged = { points: 'E_FORMAT_DAMAGED', restore: 'E_FORMAT_DAMAGED', backup: 'E_FORMAT_DAMAGED' } as const
    const newer = {
      points: 'E_FORMAT_NEWER',
      restore: 'E_FORMAT_NEWER',
      verify: 'damaged',
      backup: 'E_FORMAT_NEWER',
    } as const
    await assertSaid(name, await changed(name, flippedAt(100)), broken)
    await assertSaid(name, await changed(name, (bytes) => bytes.subarray(0, -1)), { restore: 'E_SEAL_BROKEN' })
    await assertSaid(name, new Uint8Array(0), damaged)
    await assertSaid(name, Buffer.alloc(5 * MiB), { restore: 'E_FORMAT_DAMAGED' })
    await assertSaid(name, await changed(name, (bytes) => (bytes.writeUInt8(2, 6), bytes)), newer)
    await assertSaid(name, await resealed(name, { version: 2, unheardOf: {} }), { restore: 'E_FORMAT_NEWER' })
    await assertSaid(name, await resealed(name, { strata: 'session' }), { restore: 'E_FORMAT_KIND' })
    await assertSaid(name, await resealed(name, { sequence: 1 }), { restore: 'E_FORMAT_DAMAGED' })
    // Another's bytes, whole as they are, open in no other place.
    const others = [
      await readFile(place.stored(before)),
      await readFile(place.stored(await place.object(new RegExp(`${tenant}/points/`)))),
      await readFile(foreign.stored(await foreign.object(/\/points\//))),
    ]
    for (const other of others) await assertSaid(name, other, { restore: 'E_SEAL_BROKEN' })
    // One in the middle that is gone is missed.
    await assertSaid(before, null, { points: 'E_HISTORY_BROKEN', verify: 'damaged' })
    await place.assertStillGood()
  })

  test('a newest point that was taken away is missed by the machine that made it, and by it alone', async () => {
    await using cut = await Place.withPoint()
    await writeAt(cut.file('disk.img'), 5 * MiB, Buffer.alloc(MiB, 'second'))
    const { point } = await cut.backUpGood()
    await rm(cut.stored(await cut.object(/\/points\/.*2$/)))
    await cut.answers('verify', '--all')
    const next = await cut.backUpGood()
    const [warning, ...more] = next.warnings
    assert.deepEqual([next.kind, warning?.code, more], ['incremental', 'W_HISTORY_CUT', []])
    assert.match(warning?.message ?? '', /point number 2 .* the newest in the store is number 1: number 2 is missing/)
    await cut.assertRestores(next.point, cut.file('disk.img'))
    // It is told once, and stays in the point.
    assert.deepEqual((await cut.backUpGood()).warnings, [])
    assert.notEqual(next.point, point)
  })

  test("things that are no objects of ours are in nobody's way", async () => {
    const { manifest, record } = objects
    const own = ['.nfs0001', 'notes.txt', '0000000001.bak', 'old/0000000009']
    const strays = [
      ...[
        '.DS_Store',
        'lost+found/x',
        'tenants/.DS_Store',
        'tenants/0/x',
        `tenants/${repository.tenant}/keys/00000001.bak`,
      ],
      ...[dirname(manifest), dirname(record.object)].flatMap((folder) => own.map((name) => `${folder}/${name}`)),
    ]
    for (const stray of strays) {
      await mkdir(dirname(place.stored(stray)), { recursive: true })
      await writeFile(place.stored(stray), 'stray')
    }
    assert.ok((await place.points('good')).every(({ state }) => state === 'complete'))
    await place.assertStillGood()
    // Also where the tenant has to be found.
    const lost = { env: { STRATA_STATE: place.file('lost-state') } }
    assert.deepEqual(await place.answersWith(lost, 'points', '--tenant', repository.tenant), await place.points())
    for (const stray of strays) await rm(place.stored(stray))
  })

  test('the last number that a set can have, taken by nobody knows whom', async () => {
    const last = objects.manifest.replace(/[0-9]+$/, '9999999999')
    await writeFile(place.stored(last), 'not a manifest')
    const backup = ['backup', place.file('disk.img'), '--set', 'good']
    await place.refuses('E_FORMAT_DAMAGED', backup)
    await place.refuses('E_LIMIT', [...backup, '--full'], { mayLeavePacks: true })
    await rm(place.stored(last))
    await place.assertStillGood()
  })

  test('the map: its root and a page', async () => {
    const { root, page } = objects
    // A block of the page, so that a backup which trusts its own digests comes to the page at its end.
    await writeAt(place.file('disk.img'), 7 * MiB, Buffer.alloc(MiB, 'on the page'))
    for (const { object, offset, length } of [root, page]) {
      const isRoot = object === root.object && offset === root.offset
      const restoring = isRoot ? 'E_SEAL_BROKEN' : 'E_POINT_DAMAGED'
      const altered = await changed(object, flippedAt(offset + length - 1))
      await assertSaid(object, altered, {
        restore: restoring,
        verify: 'damaged',
        [isRoot ? 'backup' : 'backupAtItsEnd']: 'E_SEAL_BROKEN',
      })
      const newer = await changed(object, (bytes) => (bytes.writeUInt8(2, offset + 6), bytes))
      if (isRoot) await assertSaid(object, newer, { restore: 'E_FORMAT_NEWER' })
    }
    const { object, offset } = root
    await assertSaid(object, await changed(object, (bytes) => bytes.subarray(0, offset + 10)), {
      restore: 'E_OBJECT_TRUNCATED',
      verify: 'damaged',
      backup: 'E_OBJECT_TRUNCATED',
    })
    await assertSaid(object, null, { restore: 'E_OBJECT_MISSING', verify: 'damaged', backup: 'E_OBJECT_MISSING' })
    await place.assertStillGood()
  })

  test('a base whose digests this machine has lost as well: the damaged page is met, and --full is the way on', async () => {
    const { object, offset, length } = objects.page
    const path = place.stored(object)
    const whole = await readFile(path)
    await writeFile(path, flippedAt(offset + length - 1)(Buffer.from(whole)))
    const fresh = { STRATA_STATE: place.file('fresh-state'), STRATA_KEYRING: place.file('state/keyring.json') }
    const source = place.file('disk.img')
    const { hint } = await place.refuses('E_SEAL_BROKEN', ['backup', source, '--set', 'good'], { env: fresh })
    assert.match(hint, /--full/)
    const { point } = await place.answersWith<PointAnswer>({ env: fresh }, 'backup', source, '--set', 'good', '--full')
    await place.assertRestores(point, source)
    await writeFile(path, whole)
    await place.assertStillGood()
  })

  test('a pack of records', async () => {
    const { object, offset, length } = objects.record
    const damaged = { restore: 'E_POINT_DAMAGED', verify: 'damaged' } as const
    await assertSaid(object, await changed(object, flippedAt(offset + length - 1)), damaged)
    await assertSaid(object, await changed(object, (bytes) => bytes.subarray(0, offset + 1)), damaged)
    await assertSaid(object, null, damaged)
    const others = (await place.objects(/\/data-/)).filter((name) => name !== object)
    await assertSaid(object, await readFile(place.stored(others[0] ?? '')), damaged)
    const newer = await changed(object, (bytes) => (bytes.writeUInt8(2, offset), bytes))
    const path = place.stored(object)
    const whole = await readFile(path)
    await writeFile(path, newer)
    const target = place.file('target.img')
    const { message } = await place.refuses('E_POINT_DAMAGED', ['restore', 'latest:good', '--to', target])
    assert.match(message, /E_FORMAT_NEWER/)
    await writeFile(path, whole)
    await place.assertStillGood()
  })

  test("a session's own documents and packs, spoiled between sending and commit", async () => {
    const source = place.file('disk.img')
    await writeAt(source, 6 * MiB, Buffer.alloc(MiB, 'third'))
    const spoiled: readonly (readonly [RegExp, ErrorCode, (bytes: Buffer) => Uint8Array | null])[] = [
      [/\/open$/, 'E_SEAL_BROKEN', flippedAt(80)],
      [/\/open$/, 'E_FORMAT_DAMAGED', (bytes) => bytes.subarray(0, 30)],
      [/\/open$/, 'E_FORMAT_NEWER', (bytes) => (bytes.writeUInt8(2, 6), bytes)],
      [/\/open$/, 'E_SESSION_UNKNOWN', () => null],
      [/\/data-/, 'E_SEGMENTS_MISSING', (bytes) => bytes.subarray(0, -1)],
      [/\/data-/, 'E_SEGMENTS_MISSING', () => null],
    ]
    for (const [pattern, code, spoil] of spoiled) {
      const before = await place.objects(/./)
      const hold = await Hold.at(place, /\/end$/)
      const run = place.start(['backup', source, '--set', 'good', '--json'], { env: hold.env })
      await hold.reached(run)
      const made = (await place.objects(pattern)).filter((name) => !before.includes(name))
      for (const name of made) {
        const bytes = spoil(await readFile(place.stored(name)))
        if (bytes === null) await rm(place.stored(name))
        else await writeFile(place.stored(name), bytes)
      }
      assert.notEqual(made.length, 0)
      await hold.release()
      assertRefusal(await run.ended, code)
      await place.assertNothingLeft()
      assert.deepEqual(
        await place.objects(/\/points\//),
        before.filter((name) => name.includes('/points/')),
      )
    }
    await place.assertStillGood()
  })

  /** The document in a box, with other members, sealed as its writer would. */
  async function resealed(name: string, members: object): Promise<Uint8Array> {
    const bytes = await readFile(place.stored(name))
    const text = Buffer.from(openBox(boxKinds.manifest, name, bytes, repository.indexKeys)).toString()
    const document = { ...(JSON.parse(text) as object), ...members }
    return sealBox(
      boxKinds.manifest,
      name,
      Buffer.from(JSON.stringify(document)),
      repository.indexKeys,
      repository.nonce(),
    )
  }
})

interface PointObjects {
  readonly manifest: string
  readonly root: StoredRange
  readonly page: StoredRange
  /** Of the block that the second point brought. */
  readonly record: StoredRange
}

async function newestObjects(repository: Repository): Promise<PointObjects> {
  const set = repository.setIdOf('good')
  const latest = await latestPoint(repository, set)
  assert.ok(latest !== undefined)
  const { root, pages, records } = await storedPoint(repository, latest)
  const [page] = pages.values()
  const record = records.get((5 * MiB) / blockBytesDefault)
  assert.ok(page !== undefined && record !== undefined)
  return { manifest: manifestName(repository.placeOf(set), latest.sequence), root, page, record }
}

async function repositoryOf(place: Place): Promise<Repository> {
  const store = await openStore(place.storeUrl, { env: {}, clock: systemClock, randomBytes: systemRandomBytes })
  return await openRepository(store, await readKeyring(place.file('state/keyring.json')), systemRandomBytes)
}
