import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename } from 'node:path'
import { after, before, test } from 'node:test'
import { loopDevice, loopRequirement } from '../fixtures/loop-device.ts'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import { runTool } from '../fixtures/tool.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertRefusal, Hold, KiB, makeDisk, MiB, Place, writeAt, withoutPrivileges } from './place.ts'

/** Sources that cannot be backed up, and such as only look so. */
describeWith(redisRequirement, 'bad input: sources', () => {
  let place: Place
  before(async () => {
    place = await Place.withPoint()
  })
  after(() => place[Symbol.asyncDispose]())

  test('what is not there or is no disk is refused by name', async () => {
    await runTool('mkfifo', [place.file('pipe')])
    await symlink(place.file('loop'), place.file('loop'))
    const socket = createServer().listen(place.file('socket'))
    try {
      const refused = [
        ['nowhere.img', 'E_SOURCE_MISSING'],
        ['disk.img/inside', 'E_SOURCE_MISSING'],
        ['loop', 'E_SOURCE_MISSING'],
        ['x'.repeat(300), 'E_SOURCE_MISSING'],
        ['/', 'E_DISK_NAME'],
        ['disk=.', 'E_SOURCE_KIND'],
        ['pipe', 'E_SOURCE_KIND'],
        ['socket', 'E_SOURCE_KIND'],
        ['/dev/null', 'E_SOURCE_KIND'],
        ['/dev/zero', 'E_SOURCE_KIND'],
      ] as const
      for (const [source, code] of refused) {
        const { message } = await place.refuses(code, ['backup', source, '--set', 'good'])
        assert.ok(message.includes(source.replace('disk=.', place.directory.path)), message)
      }
      // One bad disk of several: no point of the others either.
      await place.refuses('E_SOURCE_MISSING', ['backup', 'disk.img', 'nowhere.img', '--set', 'several'])
    } finally {
      await new Promise((resolve) => socket.close(resolve))
    }
    await place.assertStillGood()
  })

  test('a source that this user may not read', async () => {
    const path = place.file('secret.img')
    await copyFile(place.file('disk.img'), path)
    await chmod(path, 0)
    await place.refuses('E_SOURCE_UNREADABLE', ['backup', path, '--set', 'secret'], { through: withoutPrivileges() })
    await place.assertStillGood()
  })

  test('an empty disk is refused; one byte, odd sizes and all zeros are disks, to the byte', async () => {
    await writeFile(place.file('empty.img'), '')
    await place.refuses('E_SOURCE_EMPTY', ['backup', 'empty.img', '--set', 'empty'])
    const sizes = [1, 64 * KiB - 1, 256 * KiB + 1, 3 * MiB + 4567]
    const paths = sizes.map((sizeBytes) => place.file(`odd-${String(sizeBytes)}.img`))
    for (const [index, path] of paths.entries()) await writeFile(path, Buffer.alloc(sizes[index] ?? 0, 'odd'))
    const zeros = place.file('zeros.img')
    await writeFile(zeros, '')
    await truncate(zeros, 5 * MiB + 1)
    const { point } = await place.answers<BackupAnswer>('backup', ...paths, zeros, '--set', 'odd')
    for (const path of [...paths, zeros]) await place.assertRestores(`${point}:${basename(path)}`, path)
  })

  test('a disk that is cut off while it is read becomes no point', async () => {
    const path = place.file('cut.img')
    await writeFile(path, Buffer.alloc(4 * MiB, 'whole'))
    const hold = await Hold.at(place, /\/data-/)
    const run = place.start(['backup', path, '--set', 'cut', '--json'], { env: hold.env })
    await hold.reached(run)
    await truncate(path, 3 * MiB)
    await hold.release()
    assertRefusal(await run.ended, 'E_SOURCE_CHANGED')
    await place.assertNothingLeft()
    assert.deepEqual(await place.objects(/\/sessions\//), [])
    await place.refuses('E_SET_UNKNOWN', ['points', '--set', 'cut'])
    await place.assertStillGood()
  })

  test('a disk that is written to while it is read is read again, and the point is one moment of it', async () => {
    const path = place.file('written.img')
    await writeFile(path, Buffer.alloc(4 * MiB, 'before'))
    const hold = await Hold.at(place, /\/data-00000000/)
    const run = place.start(['backup', path, '--set', 'written', '--json'], { env: hold.env })
    await hold.reached(run)
    await writeAt(path, MiB, Buffer.from('after'))
    await writeAt(path, 3 * MiB, Buffer.alloc(MiB))
    await hold.release()
    const { exitCode, output, messages } = await run.ended
    assert.equal(exitCode, 0, messages)
    const { point, passes } = JSON.parse(output) as { point: string; passes: number }
    assert.equal(passes, 2)
    await place.assertRestores(point, path)
  })

  test('a file that is replaced while it is read becomes no point', async () => {
    const path = place.file('replaced.img')
    await writeFile(path, Buffer.alloc(2 * MiB, 'one'))
    await writeFile(place.file('other.img'), Buffer.alloc(2 * MiB, 'other'))
    const hold = await Hold.at(place, /\/data-/)
    const run = place.start(['backup', path, '--set', 'replaced', '--json'], { env: hold.env })
    await hold.reached(run)
    await rename(place.file('other.img'), path)
    await hold.release()
    assertRefusal(await run.ended, 'E_SOURCE_CHANGED')
    await place.assertNothingLeft()
  })

  test('hostile names of files reach neither terminal nor names in the store', async () => {
    const names = ['\u001b[2J\u001b]0;owned\u0007.img', 'new\nline\r.img', '-rf.img', '\u202egnp.img', 'ü'.repeat(80)]
    await mkdir(place.file('hostile'))
    const paths = names.map((name) => place.file(`hostile/${name}`))
    for (const path of paths) {
      await copyFile(place.file('disk.img'), path)
      // In an error its name is told.
      await place.refuses('E_SOURCE_MISSING', ['backup', `d=${path}.gone`, '--set', 'hostile'])
    }
    const sources = paths.map((path, index) => `disk-${String(index)}=${path}`)
    const { point } = await place.answers<BackupAnswer>('backup', ...sources, '--set', 'hostile')
    await place.assertRestores(`${point}:disk-1`, paths[1] ?? '')
    for (const object of await place.objects(/./)) assert.match(object, /^[a-z0-9/-]+$/)
    // Without a name of its own, what looks like an option is one.
    await place.refuses('E_USAGE', ['backup', '-rf.img'], { exitCode: 2 })
    const { error } = await plainRun(place, ['backup', place.file(`hostile/${names[0] ?? ''}.gone`)])
    assert.match(error, /E_SOURCE_MISSING: .*\\x1b\[2J/)
    await place.assertStillGood()
  })
})

describeWith(loopRequirement, 'bad input: devices', () => {
  test('a device that reports errors is refused, and named with the place of the error', async () => {
    await using place = await Place.withPoint()
    await using device = await loopDevice(place.file('backing.img'), 4 * MiB, Buffer.alloc(4 * MiB, 'device'))
    const hold = await Hold.at(place, /\/open$/)
    const run = place.start(['backup', `d=${device.path}`, '--set', 'd', '--json'], { env: hold.env })
    await hold.reached(run)
    // The device keeps its size; what the file has lost cannot be read any more.
    await truncate(device.backingFile, 2 * MiB)
    await hold.release()
    const { message, details } = assertRefusal(await run.ended, 'E_SOURCE_UNREADABLE')
    assert.ok(message.includes(device.path) && message.includes('EIO'), message)
    assert.ok(Number(details?.['offset']) >= MiB, message)
    // And where it cannot even be looked at.
    await place.refuses('E_SOURCE_UNREADABLE', ['backup', `d=${device.path}`, '--set', 'd'])
    await place.assertStillGood()
  })

  test('a file whose file system is mounted for writing is told of, also below a very long path', async () => {
    await using place = await Place.withPoint()
    let folder = place.file('deep')
    for (let depth = 0; depth < 14; depth += 1) folder += `/${'d'.repeat(200)}`
    await mkdir(folder, { recursive: true })
    const path = `${folder}/disk.img`
    await makeDisk(path, 7)
    const { output } = await runTool('losetup', ['--find', '--show', path])
    const device = output.trim()
    const mountPoint = place.file('mounted')
    await mkdir(mountPoint)
    try {
      await runTool('mount', [device, mountPoint])
      try {
        const { warnings } = await place.backUp(path, 'mounted', '--allow-changing')
        assert.deepEqual([...new Set(warnings.map(({ code }) => code))], ['W_SOURCE_MOUNTED'])
      } finally {
        await runTool('umount', [mountPoint])
      }
    } finally {
      await runTool('losetup', ['--detach', device])
    }
  })
})

async function plainRun(place: Place, args: readonly string[]): Promise<{ error: string }> {
  const { exitCode, output, messages } = await place.run(args)
  assert.equal(exitCode, 1)
  assert.equal(output, '')
  assert.doesNotMatch(messages.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
  return { error: messages }
}
