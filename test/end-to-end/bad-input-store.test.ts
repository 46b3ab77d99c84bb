import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, copyFile, cp, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { mounted } from '../fixtures/loop-device.ts'
import { runTool } from '../fixtures/tool.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import { deadPort } from '../servers/processes.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith, rootRequirement } from '../servers/require-server.ts'
import { assertRefusal, Hold, KiB, MiB, Place, writeAt, withoutPrivileges } from './place.ts'

/** Stores that are not there, not right, not reachable, or go away. */
describeWith(redisRequirement, 'bad input: stores', () => {
  let place: Place
  let args: readonly string[]
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good']
  })
  after(() => place[Symbol.asyncDispose]())

  test('store URLs that are none, and directories that are no store', async () => {
    const urls = [
      [place.file('store'), 'E_STORE_URL'],
      ['file://relative', 'E_STORE_URL'],
      ['file:///a%00b', 'E_STORE_URL'],
      ['s3://', 'E_STORE_URL'],
      ['s3://bucket?endpoint=http://user:secret@127.0.0.1', 'E_STORE_URL'],
      ['ftp://user:secret@host/', 'E_STORE_URL'],
      ['\u001b[2J', 'E_STORE_URL'],
      [pathToFileURL(place.file('nowhere')).href, 'E_STORE_MISSING'],
      [pathToFileURL(place.file('disk.img')).href, 'E_STORE_MISSING'],
      [pathToFileURL(place.file('tmp')).href, 'E_REPOSITORY_MISSING'],
    ] as const
    await place.refuses('E_USAGE', ['points'], { env: { STRATA_STORE: '' }, exitCode: 2 })
    for (const [STRATA_STORE, code] of urls) {
      const error = await place.refuses(code, ['points'], { env: { STRATA_STORE } })
      assert.doesNotMatch(JSON.stringify(error), /secret/)
    }
    await place.refuses('E_STORE_MISSING', args, { env: { STRATA_STORE: pathToFileURL(place.file('nowhere')).href } })
    // Nothing was made where nothing was.
    await place.refuses('E_STORE_MISSING', ['points', '--store', pathToFileURL(place.file('nowhere')).href])
    await place.assertStillGood()
  })

  test('another store than the one that the keyring is of', async () => {
    await using other = await Place.withPoint()
    await place.refuses('E_KEY_FOREIGN', args, { env: { STRATA_STORE: other.storeUrl } })
    await place.refuses('E_KEY_FOREIGN', ['restore', 'latest:good', '--to', 'x'], {
      env: { STRATA_STORE: other.storeUrl },
    })
  })

  test('a server that is not there or is no store is given up in bounded time', async () => {
    const injector = await startFaultInjector()
    injector.setPlan(() => ({ kind: 'babble' }))
    const env = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'very-secret' }
    try {
      for (const [endpoint, code] of [
        [`http://127.0.0.1:${String(deadPort)}`, 'E_STORE_UNREACHABLE'],
        [injector.origin, 'E_STORE_PROTOCOL'],
        [injector.origin.replace('http:', 'https:'), 'E_STORE_PROTOCOL'],
      ] as const) {
        const STRATA_STORE = `s3://bucket?endpoint=${endpoint}`
        const error = await place.refuses(code, args, { env: { ...env, STRATA_STORE } })
        assert.doesNotMatch(JSON.stringify(error), /very-secret/)
      }
      await place.refuses('E_STORE_DENIED', args, { env: { STRATA_STORE: 'azure://container' } })
    } finally {
      await injector.stop()
    }
    await place.assertStillGood()
  })

  test('a server that ignores create-if-absent is never used', async () => {
    const injector = await startFaultInjector()
    try {
      // It takes every object, whatever the request says of one that is there.
      const headers = { etag: '"1"', date: new Date().toUTCString() }
      injector.setPlan(({ method }) => ({ kind: 'answer', status: method === 'DELETE' ? 204 : 200, headers }))
      await using fresh = await Place.empty()
      const { hint } = await fresh.refuses('E_STORE_UNCONDITIONAL', ['init'], {
        env: {
          AWS_ACCESS_KEY_ID: 'id',
          AWS_SECRET_ACCESS_KEY: 'secret',
          STRATA_STORE: `s3://bucket?endpoint=${injector.origin}`,
        },
      })
      assert.match(hint, /create-if-absent/)
      const puts = injector.seen.filter(({ method }) => method === 'PUT')
      assert.ok(
        puts.length === 2 &&
          puts.every(({ url, headers }) => url.includes('/probes/') && headers['if-none-match'] === '*'),
      )
      await assert.rejects(fresh.answers('points'))
    } finally {
      await injector.stop()
    }
  })

  test('a store that vanishes in the middle of a run, and comes back', async () => {
    await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, 'vanishing'))
    for (const moment of [/\/open$/, /\/data-/, /\/end$/, /\/points\//]) {
      const before = await place.objects(/\/points\//)
      const hold = await Hold.at(place, moment)
      const run = place.start([...args, '--json'], { env: hold.env })
      await hold.reached(run)
      await rename(place.file('store'), place.file('away'))
      await hold.release()
      assertRefusal(await run.ended, 'E_STORE_MISSING')
      await place.assertNothingLeft()
      assert.deepEqual(await place.storedFiles(), [])
      await rename(place.file('away'), place.file('store'))
      assert.deepEqual(await place.objects(/\/points\//), before)
    }
    await place.assertStillGood()
  })

  test('a store that is replaced by an empty directory in the middle: no point without what it needs', async () => {
    await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, 'replaced'))
    for (const moment of [/\/data-/, /\/end$/]) {
      const hold = await Hold.at(place, moment)
      const run = place.start([...args, '--json'], { env: hold.env })
      await hold.reached(run)
      await rename(place.file('store'), place.file('away'))
      await mkdir(place.file('store'))
      await hold.release()
      const { exitCode } = await run.ended
      assert.equal(exitCode, 1)
      await place.assertNothingLeft()
      assert.deepEqual(await place.objects(/\/points\//), [])
      await rm(place.file('store'), { recursive: true })
      await rename(place.file('away'), place.file('store'))
    }
    await place.assertStillGood()
  })

  test('a link inside the store leads nothing out of it', async () => {
    const outside = place.file('outside')
    await mkdir(outside)
    const points = (await place.object(/\/points\/.*\/0000000001$/)).replace(/\/[0-9]+$/, '')
    const path = place.stored(points)
    await cp(path, place.file('kept'), { recursive: true })
    await rm(path, { recursive: true })
    await symlink(outside, path)
    await place.refuses('E_STORE_LINK', [...args, '--full'], { mayLeavePacks: true })
    await rm(path)
    await rename(place.file('kept'), path)
    assert.deepEqual(await place.objects(/^outside/), [])
    await place.assertStillGood()
  })

  test('a store that this user may not write to', async () => {
    const through = withoutPrivileges()
    const folders = [place.file('store'), place.stored('~writing')]
    for (const path of folders) await chmod(path, 0o500)
    try {
      await place.refuses('E_STORE_READ_ONLY', args, { through })
    } finally {
      for (const path of folders) await chmod(path, 0o700)
    }
    await place.assertStillGood()
  })
})

describeWith(rootRequirement, 'bad input: stores on file systems of their own', () => {
  const tmpfs = (size: string): string[] => ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs']

  test('a store that is full', async () => {
    await using place = await Place.empty()
    await mkdir(place.file('store'))
    await using _store = await mounted(tmpfs('4m'), place.file('store'))
    await place.answers('init')
    const source = place.file('disk.img')
    await writeFile(source, randomBytes(MiB))
    await place.backUpGood()
    await copyFile(source, place.file('before.img'))
    // A little at a time, and everything at once.
    for (const sizeBytes of [4 * MiB, 12 * MiB]) {
      await writeFile(source, randomBytes(sizeBytes))
      const { hint } = await place.refuses('E_STORE_FULL', ['backup', source, '--set', 'good'])
      assert.match(hint, /space/)
    }
    await place.assertRestores('latest:good', place.file('before.img'))
    assert.equal((await place.answers<{ state: string }>('verify', '--all')).state, 'intact')
    // Not a byte is left.
    await writeFile(place.stored('filler'), Buffer.alloc(4 * MiB)).catch((error: unknown) => {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    })
    await place.refuses('E_STORE_FULL', ['backup', source, '--set', 'good'])
    assert.equal((await place.points('good')).length, 1)
    await rm(place.stored('filler'))
    await writeFile(source, randomBytes(MiB + 64 * KiB))
    await place.assertStillGood()
  })

  test('a store that is mounted read-only can be read, and says so when it should be written', async () => {
    await using place = await Place.withPoint()
    const store = place.file('store')
    await cp(store, place.file('copy'), { recursive: true })
    {
      await using _bound = await mounted(['--bind', store], store)
      await runTool('mount', ['-o', 'remount,ro,bind', store])
      await place.refuses('E_STORE_READ_ONLY', ['backup', place.file('disk.img'), '--set', 'good'])
      await place.refuses('E_STORE_READ_ONLY', ['init'], {
        env: { STRATA_STATE: place.file('s2'), STRATA_KEY_FILE: place.file('k2') },
      })
      assert.equal((await place.points('good')).length, 1)
      await place.assertRestores('latest:good', place.file('disk.img'))
      assert.equal((await place.answers<{ state: string }>('verify', '--all')).state, 'intact')
      // And where the keyring is lost as well.
      const env = { STRATA_STATE: place.file('s3') }
      assert.deepEqual(await place.answersWith({ env }, 'points'), await place.points())
    }
    await place.assertStillGood()
  })

  test('a store that turns read-only in the middle of a run', async () => {
    await using place = await Place.withPoint()
    const store = place.file('store')
    await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, 'turning'))
    {
      await using _bound = await mounted(['--bind', store], store)
      const hold = await Hold.at(place, /\/end$/)
      const run = place.start(['backup', place.file('disk.img'), '--set', 'good', '--json'], { env: hold.env })
      await hold.reached(run)
      await runTool('mount', ['-o', 'remount,ro,bind', store])
      await hold.release()
      assertRefusal(await run.ended, 'E_STORE_READ_ONLY')
      await place.assertNothingLeft()
    }
    assert.equal((await place.points('good')).length, 1)
    await place.assertStillGood()
  })
})
