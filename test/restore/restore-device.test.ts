import assert from 'node:assert/strict'
import { mkdir, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { blockBytesMin } from '@strata/shared/limits.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { openFileTarget } from '@strata/workers/deliver/restore/file-target.ts'
import { loopDevice, loopRequirement, mounted } from '../fixtures/loop-device.ts'
import { diskOf, makePoint, makeRepository, seededRandom, type TestRepository } from '../fixtures/make-point.ts'
import { restoreTo } from '../fixtures/restore.ts'
import { flipByte, storedPoint } from '../fixtures/stored-places.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { runTool } from '../fixtures/tool.ts'
import { describeWith } from '../servers/require-server.ts'

const MiB = 1024 * 1024
const random = seededRandom('restore-device')

/** The first 64 KiB hold data, as on every real disk; then zeros and data by turns. */
function diskBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 0; at < sizeBytes; at += 4 * blockBytesMin) {
    const part = bytes.subarray(at, at + 2 * blockBytesMin)
    part.set(random(part.length))
  }
  return bytes
}

function onlyPoint(repository: TestRepository, source: Uint8Array) {
  const disks = [diskOf('disk', source, blockBytesMin)]
  return makePoint(repository, { disks, packBlockBytes: MiB })
}

describeWith(loopRequirement, 'restore to a block device', () => {
  test('what was there is overwritten, zeros included', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(12 * MiB)
    const point = await onlyPoint(repository, source)
    await using device = await loopDevice(directory.file('device'), source.length, random(source.length))
    const result = await restoreTo(repository, point, device.path)
    assert.ok(source.equals(await readFile(device.path)))
    assert.equal(result.target, device.path)
    assert.equal(result.zeroBytes, source.length / 2)
    assert.equal(result.writtenBytes, source.length)
    assert.deepEqual(result.warnings, [])
  })

  test('a device that reads as zeros already is written only where there is data', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(12 * MiB)
    const point = await onlyPoint(repository, source)
    await using device = await loopDevice(directory.file('device'), source.length)
    const result = await restoreTo(repository, point, device.path)
    assert.ok(source.equals(await readFile(device.path)))
    assert.equal(result.writtenBytes, source.length / 2)
    const allocatedBytes = (await stat(device.backingFile)).blocks * 512
    assert.ok(allocatedBytes < source.length / 2 + blockBytesMin, `${String(allocatedBytes)} bytes are allocated`)
  })

  test('a larger device is fine, with a warning; the rest of it stays', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(2 * MiB)
    const point = await onlyPoint(repository, source)
    const before = random(4 * MiB)
    await using device = await loopDevice(directory.file('device'), before.length, before)
    const result = await restoreTo(repository, point, device.path)
    assert.deepEqual(
      result.warnings.map(({ code }) => code),
      ['W_TARGET_LARGER'],
    )
    const after = await readFile(device.path)
    assert.ok(source.equals(after.subarray(0, source.length)))
    assert.ok(after.subarray(source.length).equals(before.subarray(source.length)))
  })

  test('a smaller device is refused; by force it gets what fits', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(2 * MiB)
    const point = await onlyPoint(repository, source)
    // Ends within a block.
    const deviceBytes = 17 * blockBytesMin + 4096
    const before = random(deviceBytes)
    await using device = await loopDevice(directory.file('device'), deviceBytes, before)
    await assert.rejects(restoreTo(repository, point, device.path), { code: 'E_TARGET_TOO_SMALL' })
    assert.ok((await readFile(device.path)).equals(before))
    const result = await restoreTo(repository, point, device.path, { force: true })
    assert.deepEqual(
      result.warnings.map(({ code }) => code),
      ['W_TARGET_SMALLER'],
    )
    assert.ok((await readFile(device.path)).equals(source.subarray(0, deviceBytes)))
  })

  test('a device that is mounted, or opened by somebody alone, is refused', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const point = await onlyPoint(repository, diskBytes(8 * MiB))
    await using device = await loopDevice(directory.file('device'), 8 * MiB)
    await runTool('mkfs.ext4', ['-q', device.path])
    const mountPoint = directory.file('mount point')
    await mkdir(mountPoint)
    {
      await using _mount = await mounted([device.path], mountPoint)
      await symlink(device.path, directory.file('link'))
      for (const path of [device.path, directory.file('link')]) {
        await assert.rejects(restoreTo(repository, point, path), (error: Error & { code?: string }) => {
          assert.equal(error.code, 'E_TARGET_MOUNTED')
          assert.ok(error.message.includes(mountPoint), error.message)
          return true
        })
      }
      // The file below the device is in use as well, and that is said before that it exists.
      await assert.rejects(restoreTo(repository, point, device.backingFile), { code: 'E_TARGET_MOUNTED' })
    }
    const O_EXCL = 0o200
    const alone = await open(device.path, O_EXCL)
    await assert.rejects(restoreTo(repository, point, device.path), { code: 'E_TARGET_MOUNTED' })
    await alone.close()
    await restoreTo(repository, point, device.path)
  })

  test('a device that is mounted is overwritten by force', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(8 * MiB)
    const point = await onlyPoint(repository, source)
    await using device = await loopDevice(directory.file('device'), source.length)
    await runTool('mkfs.ext4', ['-q', device.path])
    const mountPoint = directory.file('mount point')
    await mkdir(mountPoint)
    {
      // Else the file system writes what it knows over it, when it is unmounted at the latest.
      await using _mount = await mounted(['-o', 'ro,noload', device.path], mountPoint)
      const result = await restoreTo(repository, point, device.path, { force: true })
      assert.equal(result.damage.blocks, 0)
    }
    assert.ok(source.equals(await readFile(device.backingFile)))
  })

  test('the device under the store is refused, by force too', async () => {
    await using directory = await temporaryDirectory()
    await using device = await loopDevice(directory.file('device'), 32 * MiB)
    await runTool('mkfs.ext4', ['-q', device.path])
    const mountPoint = directory.file('mount')
    await mkdir(mountPoint)
    await using _mount = await mounted([device.path], mountPoint)
    const store = await openDirectoryStore(`${mountPoint}/store`, {
      clock: systemClock,
      randomBytes: systemRandomBytes,
      create: true,
    })
    const repository = await makeRepository({ store })
    const point = await onlyPoint(repository, diskBytes(MiB))
    await assert.rejects(restoreTo(repository, point, device.path, { force: true }), { code: 'E_TARGET_IS_SOURCE' })
  })

  test('an interrupted restore leaves a device that nothing takes for a disk', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(8 * MiB)
    const point = await onlyPoint(repository, source)
    await using device = await loopDevice(directory.file('device'), source.length, random(source.length))
    const abort = new AbortController()
    const interrupted = restoreTo(repository, point, device.path, {
      signal: abort.signal,
      onProgress: ({ doneBytes }) => {
        if (doneBytes > 0) abort.abort()
      },
    })
    await assert.rejects(interrupted, { code: 'E_INTERRUPTED', message: new RegExp(`${device.path} holds a part`) })
    const left = await readFile(device.path)
    assert.ok(left.subarray(0, blockBytesMin).equals(Buffer.alloc(blockBytesMin)))
  })

  test('lost blocks become zeros on a device that held something else', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = diskBytes(4 * MiB)
    const point = await onlyPoint(repository, source)
    const record = (await storedPoint(repository.repository, point)).records.get(5)
    assert.ok(record)
    await flipByte(repository.store, record.object, record.offset + 100)
    await using device = await loopDevice(directory.file('device'), source.length, random(source.length))
    await assert.rejects(restoreTo(repository, point, device.path), { code: 'E_POINT_DAMAGED' })
    const result = await restoreTo(repository, point, device.path, { allowDamaged: true })
    assert.deepEqual(
      result.damage.ranges.map(({ block, blocks }) => ({ block, blocks })),
      [{ block: 5, blocks: 1 }],
    )
    source.fill(0, 5 * blockBytesMin, 6 * blockBytesMin)
    assert.ok((await readFile(device.path)).equals(source))
  })
})

describeWith(loopRequirement, 'restore to a file system without room', () => {
  const tmpfs = ['-t', 'tmpfs', '-o', 'size=4m', 'strata-test']

  test('is refused before anything is written', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const point = await onlyPoint(repository, diskBytes(16 * MiB))
    await mkdir(directory.file('small'))
    await using _mount = await mounted(tmpfs, directory.file('small'))
    await assert.rejects(restoreTo(repository, point, directory.file('small/disk.img')), (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error && 'details' in error)
      assert.equal(error.code, 'E_TARGET_FULL')
      assert.deepEqual(error.details, { neededBytes: 8 * MiB, freeBytes: 4 * MiB })
      return true
    })
    assert.deepEqual(await readdir(directory.file('small')), [])
  })

  test('is no problem when the data fits and only the holes would not', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const source = Buffer.alloc(16 * MiB)
    source.set(random(MiB), 3 * MiB)
    const point = await onlyPoint(repository, source)
    await mkdir(directory.file('small'))
    await using _mount = await mounted(tmpfs, directory.file('small'))
    await restoreTo(repository, point, directory.file('small/disk.img'))
    assert.ok(source.equals(await readFile(directory.file('small/disk.img'))))
  })

  test('nothing is left where a file cannot be as large as the disk', async () => {
    await using directory = await temporaryDirectory()
    await using device = await loopDevice(directory.file('device'), 8 * MiB)
    await runTool('mke2fs', ['-q', '-t', 'ext4', device.path])
    const small = directory.file('small')
    await mkdir(small)
    await using _mount = await mounted([device.path], small)
    const before = await readdir(small)
    const sizeBytes = Number.MAX_SAFE_INTEGER
    const opened = openFileTarget({ path: `${small}/disk.img`, sizeBytes, existing: undefined, warnings: [] })
    await assert.rejects(opened, { code: 'E_TARGET_FULL' })
    assert.deepEqual(await readdir(small), before)
  })

  test('that fills up on the way is said, and what was written is marked as incomplete', async () => {
    await using directory = await temporaryDirectory()
    const repository = await makeRepository()
    const point = await onlyPoint(repository, diskBytes(6 * MiB))
    const small = directory.file('small')
    await mkdir(small)
    await using _mount = await mounted(tmpfs, small)
    // The room is there when it is asked for: the free space is taken by what the store does next.
    const filling = storeWith(repository.store, {
      get: async (name, part) => {
        const bytes = await repository.store.get(name, part)
        if (name.includes('/data-')) await writeFile(`${small}/other`, new Uint8Array(3 * MiB))
        return bytes
      },
    })
    const filled = new Repository(filling, repository.repository.ingestKeys, random)
    const restored = restoreTo({ ...repository, repository: filled }, point, `${small}/disk.img`)
    const left = `What was written is in ${small}/disk.img.strata-incomplete.`
    await assert.rejects(restored, (error: Error & { code?: string }) => {
      assert.equal(error.code, 'E_TARGET_FULL')
      assert.ok(error.message.endsWith(left), error.message)
      return true
    })
    assert.deepEqual((await readdir(small)).sort(), ['disk.img.strata-incomplete', 'other'])
  })
})
