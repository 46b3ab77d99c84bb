import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { systemClock, type Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { timestampStepMs } from '@strata/shared/limits.ts'
import { loopDevice, skipWithoutLoopDevices, whileMounted } from '../testing/loop-device.ts'
import { memoryMap, skipWithoutMemoryMaps } from '../testing/memory-map.ts'
import { run, skipWithout } from '../testing/programs.ts'
import { openDirect } from './direct-read.ts'
import { parseMounts } from './mounts.ts'
import { sectorsOf } from './sectors.ts'
import { openSource, reopen, type Source } from './source.ts'
import { changeBetween, mountWarning, stateBeforeReading, stateOf } from './stability.ts'

const KiB = 1024
const MiB = 1024 * KiB
const skipMaps = skipWithoutMemoryMaps(tmpdir())
const needsLoops = { skip: skipWithoutLoopDevices() }

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'strata-source-'))
  t.after(() => {
    rmSync(path, { recursive: true })
  })
  return path
}

function opened(t: TestContext, path: string): Source {
  const source = openSource({ name: 'd', path })
  t.after(() => {
    source.close()
  })
  return source
}

/** As a device is opened that cannot be read directly. */
function openedCached(t: TestContext, path: string): Source {
  const source = opened(t, path)
  const fd = openSync(path, 'r')
  t.after(() => {
    closeSync(fd)
  })
  return { ...source, fd, direct: false }
}

function refuses(path: string, code: string): void {
  assert.throws(
    () => openSource({ name: 'd', path }),
    (error) => error instanceof StrataError && error.code === code && error.message.includes(path),
    `${path} → ${code}`,
  )
}

suite('openSource', () => {
  test('an image file, also through a symbolic link', (t) => {
    const folder = directory(t)
    writeFileSync(join(folder, 'd.img'), Buffer.alloc(1000, 7))
    symlinkSync('d.img', join(folder, 'link'))
    for (const name of ['d.img', 'link']) {
      const source = opened(t, join(folder, name))
      assert.equal(source.kind, 'file')
      assert.equal(source.sizeBytes, 1000)
      assert.equal(source.device, null)
    }
  })

  test('what is no source is refused by name', async (t) => {
    const folder = directory(t)
    refuses(join(folder, 'missing'), 'E_SOURCE_MISSING')
    refuses(join(folder, 'x'.repeat(300)), 'E_SOURCE_MISSING')
    symlinkSync('loop', join(folder, 'loop'))
    refuses(join(folder, 'loop'), 'E_SOURCE_MISSING')
    mkdirSync(join(folder, 'directory'))
    refuses(join(folder, 'directory'), 'E_SOURCE_KIND')
    run('mkfifo', join(folder, 'pipe'))
    refuses(join(folder, 'pipe'), 'E_SOURCE_KIND')
    refuses('/dev/null', 'E_SOURCE_KIND')
    const server = createServer()
    const socket = join(folder, 'socket')
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    refuses(socket, 'E_SOURCE_KIND')
    await new Promise((resolve) => server.close(resolve))
    writeFileSync(join(folder, 'empty'), '')
    refuses(join(folder, 'empty'), 'E_SOURCE_EMPTY')
    writeFileSync(join(folder, 'file'), 'x')
    refuses(join(folder, 'file', 'below'), 'E_SOURCE_MISSING')
  })

  test('a file that this user may not read', (t) => {
    const folder = directory(t)
    chmodSync(folder, 0o755)
    const path = join(folder, 'd.img')
    writeFileSync(path, 'x', { mode: 0o200 })
    const root = process.geteuid?.() === 0
    if (root) process.seteuid?.(65534)
    try {
      refuses(path, 'E_SOURCE_UNREADABLE')
    } finally {
      if (root) process.seteuid?.(0)
    }
  })

  test('a block device', needsLoops, (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(3 * MiB, 1))
    const source = opened(t, loopDevice(t, image))
    assert.equal(source.kind, 'device')
    assert.equal(source.sizeBytes, 3 * MiB)
    assert.match(source.device ?? '', /^7:\d+$/)
    assert.equal(source.direct, true)
  })

  test('what cannot be read directly is told from what can', () => {
    // The kernel's own files know no such reads.
    assert.equal(openDirect('/proc/self/status'), null)
    assert.throws(() => openDirect('/proc/self/none'), { code: 'ENOENT' })
  })

  test('a second descriptor is of the same file, whatever the path names by then', (t) => {
    const path = join(directory(t), 'd.img')
    writeFileSync(path, Buffer.alloc(1000, 7))
    const source = opened(t, path)
    rmSync(path)
    const other = reopen(source)
    assert.notEqual(other.fd, source.fd)
    other.close()
  })
})

suite('changes of a source', () => {
  test('an image file that nobody touches does not change; what it was written just before does not hide a write', async (t) => {
    const path = join(directory(t), 'd.img')
    writeFileSync(path, Buffer.alloc(1000, 7))
    const source = opened(t, path)
    const before = await stateBeforeReading(source, systemClock)
    assert.equal(changeBetween(before, stateOf(source)), null)
    writeFileSync(path, Buffer.alloc(1000, 8), { flag: 'r+' })
    assert.match(changeBetween(before, stateOf(source)) ?? '', /modification/)
  })

  test('stores into a memory map are seen, whenever it was dirty before', { skip: skipMaps }, async (t) => {
    const path = join(directory(t), 'd.img')
    writeFileSync(path, Buffer.alloc(64 * KiB, 7))
    const source = opened(t, path)
    const store = memoryMap(t, path, 64 * KiB)
    store(8, 1)
    const sleeping: Clock = {
      ...systemClock,
      nowMs: () => statSync(path).mtimeMs,
      // Between the first look at the file and its state.
      sleep: async (ms) => {
        await systemClock.sleep(ms)
        store(9, 1)
      },
    }
    for (const clock of [systemClock, sleeping]) {
      const before = await stateBeforeReading(source, clock)
      await setTimeout(timestampStepMs)
      assert.equal(changeBetween(before, stateOf(source)), null)
      store(10, 1)
      assert.match(changeBetween(before, stateOf(source)) ?? '', /modification/)
    }
  })

  test('growing, shrinking, replacing and removing are told apart', async (t) => {
    const path = join(directory(t), 'd.img')
    writeFileSync(path, Buffer.alloc(1000, 7))
    const source = opened(t, path)
    const before = await stateBeforeReading(source, systemClock)
    truncateSync(path, 1001)
    assert.match(changeBetween(before, stateOf(source)) ?? '', /1000 to 1001/)
    rmSync(path)
    assert.match(stateOf(source).lasting ?? '', /another file/)
    writeFileSync(path, Buffer.alloc(1000, 7))
    assert.match(changeBetween(before, stateOf(source)) ?? '', /another file/)
  })

  test('writes to a block device are counted, also those that are still in the cache', needsLoops, async (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(3 * MiB, 1))
    const device = loopDevice(t, image)
    const source = opened(t, device)
    const before = await stateBeforeReading(source, systemClock)
    assert.equal(changeBetween(before, stateOf(source)), null)
    writeFileSync(device, Buffer.alloc(4096, 2), { flag: 'r+' })
    assert.match(changeBetween(before, stateOf(source)) ?? '', /its written sectors/)
  })

  test('a write that has not come to its end when the reading ends is seen', needsLoops, async (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(32 * MiB, 1))
    const device = loopDevice(t, image)
    const source = opened(t, device)
    const writer = spawn('shred', ['--iterations=1000', device], { stdio: 'ignore' })
    t.after(async () => {
      writer.kill('SIGKILL')
      await once(writer, 'exit')
    })
    const deadlineMs = performance.now() + 30_000
    let state = stateOf(source)
    while (state.writesUnderWay === 0 && performance.now() < deadlineMs) {
      await setTimeout(1)
      state = stateOf(source)
    }
    // As if everything that is counted had stayed the same.
    assert.match(changeBetween({ ...state, writesUnderWay: 0 }, state) ?? '', /under way/)
  })

  test('what lies in the cache of a loop device before it is read is no change of it', needsLoops, async (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(3 * MiB, 1))
    const device = loopDevice(t, image)
    // As long as it is open it is not written back.
    const source = opened(t, device)
    writeFileSync(device, Buffer.alloc(MiB, 2), { flag: 'r+' })
    const before = await stateBeforeReading(source, systemClock)
    assert.equal(changeBetween(before, stateOf(source)), null)
  })

  const skipDiscard = skipWithoutLoopDevices() || skipWithout('blkdiscard')
  test('discards are counted, which the kernel does not count as writes', { skip: skipDiscard }, async (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(8 * MiB, 1))
    const device = loopDevice(t, image)
    const source = opened(t, device)
    const before = await stateBeforeReading(source, systemClock)
    run('blkdiscard', '--offset', '0', '--length', String(4 * MiB), device)
    const change = changeBetween(before, stateOf(source)) ?? ''
    assert.match(change, /its discarded sectors/)
    assert.doesNotMatch(change, /its written sectors/)
  })

  test('writes past a loop device, to its file, are seen', needsLoops, async (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(3 * MiB, 1))
    const source = opened(t, loopDevice(t, image))
    const before = await stateBeforeReading(source, systemClock)
    writeFileSync(image, 'x', { flag: 'r+' })
    assert.match(changeBetween(before, stateOf(source)) ?? '', /modification/)
  })

  test('of a device that is read by way of the cache, what is old in there goes', needsLoops, async (t) => {
    const image = join(directory(t), 'd.img')
    writeFileSync(image, Buffer.alloc(3 * MiB, 'old.'))
    const source = openedCached(t, loopDevice(t, image))
    const read = (): string =>
      sectorsOf(source.fd, source.sizeBytes)
        .read(2 * MiB, 4)
        .toString()
    read()
    // Not by way of the device, as a mounted file system does it.
    writeFileSync(image, Buffer.alloc(3 * MiB, 'new.'))
    const cached = read()
    await stateBeforeReading(source, systemClock)
    assert.deepEqual([cached, read()], ['old.', 'new.'])
  })

  const skip = skipWithoutLoopDevices() || skipWithout('mke2fs')
  test(
    'a device that is mounted for writing is never unchanged when it is read by way of the cache',
    { skip },
    async (t) => {
      const folder = directory(t)
      const image = join(folder, 'd.img')
      writeFileSync(image, '')
      truncateSync(image, 8 * MiB)
      run('mke2fs', '-q', '-t', 'ext4', image)
      const device = loopDevice(t, image)
      const cached = openedCached(t, device)
      const before = await stateBeforeReading(cached, systemClock)
      assert.equal(changeBetween(before, stateOf(cached)), null)
      mkdirSync(join(folder, 'mounted'))
      await whileMounted(device, join(folder, 'mounted'), () => {
        assert.match(changeBetween(before, stateOf(cached)) ?? '', /mounted for writing/)
        assert.equal(stateOf(opened(t, device)).lasting, null)
      })
    },
  )

  test(
    'a file system mounted for writing is said at once, of the device and of the file behind it',
    { skip },
    async (t) => {
      const folder = directory(t)
      const image = join(folder, 'd.img')
      writeFileSync(image, '')
      truncateSync(image, 8 * MiB)
      run('mke2fs', '-q', '-t', 'ext4', image)
      const device = loopDevice(t, image)
      const place = join(folder, 'a place')
      mkdirSync(place)
      assert.equal(mountWarning(opened(t, device)), null)
      assert.equal(mountWarning(opened(t, image)), null)
      await whileMounted(device, place, () => {
        for (const path of [device, image]) {
          const warning = mountWarning(opened(t, path))
          assert.equal(warning?.code, 'W_SOURCE_MOUNTED')
          assert.ok(warning.message.includes(place), warning.message)
        }
      })
    },
  )
})

test('of mounts, only file systems that are writable as a whole count', () => {
  const mounts = parseMounts(
    [
      '25 1 254:0 / / rw,relatime - ext4 /dev/root rw',
      '26 25 254:1 / /mnt/with\\040space ro,relatime shared:7 master:1 - xfs /dev/vdb rw,attr2',
      '27 25 254:2 / /ro ro - ext4 /dev/vdc ro',
      'nonsense',
      '',
    ].join('\n'),
  )
  assert.deepEqual(mounts, [
    { device: '254:0', place: '/' },
    { device: '254:1', place: '/mnt/with space' },
  ])
})
