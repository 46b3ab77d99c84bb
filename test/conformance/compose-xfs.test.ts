import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import type { CopyRange, ObjectStore } from '@strata/shared/store/object-store.ts'
import { runTool } from '../fixtures/tool.ts'
import { loopDevice, loopRequirement, mounted, type LoopDevice } from '../fixtures/loop-device.ts'
import { describeWith } from '../servers/require-server.ts'
import { bytesOf } from './store-helpers.ts'

const MiB = 1024 ** 2
const block = 4096

/** What the directory store gains from a file system that shares blocks among files. */
describeWith(loopRequirement, 'compose on XFS', () => {
  let directory: string
  let mountPoint: string
  let device: LoopDevice
  let mount: AsyncDisposable
  let store: ObjectStore
  const source = bytesOf(32 * MiB)

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'strata-test-'))
    mountPoint = join(directory, 'mounted')
    await mkdir(mountPoint)
    device = await loopDevice(join(directory, 'disk'), 512 * MiB)
    await runTool('mkfs.xfs', ['-q', '-m', 'reflink=1', device.path])
    mount = await mounted([device.path], mountPoint)
    store = await openDirectoryStore(mountPoint, { clock: systemClock, randomBytes: systemRandomBytes })
    await store.put('source', [source])
  })
  after(async () => {
    await store.close()
    await mount[Symbol.asyncDispose]()
    await device[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })

  /** How much of the file system it takes. */
  async function bytesTaken(name: string, ranges: readonly CopyRange[]): Promise<number> {
    const { bsize, bavail } = await statfs(mountPoint)
    await store.compose(name, ranges, [Buffer.from('the end')])
    const parts = ranges.map(({ offset, length }) => source.subarray(offset, offset + length))
    assert.ok(Buffer.concat([...parts, Buffer.from('the end')]).equals(await store.get(name)))
    return (bavail - (await statfs(mountPoint)).bavail) * bsize
  }

  test('ranges that lie at the same place in their blocks are shared, and take next to no room', async () => {
    const first = { source: 'source', offset: 0, length: 10 * MiB + 777 }
    // Behind 777 bytes of a block.
    const second = { source: 'source', offset: 12 * MiB + 777, length: 15 * MiB }
    assert.equal((second.offset - first.length) % block, 0)
    const taken = await bytesTaken('shared', [first, second])
    assert.ok(taken < MiB, String(taken))
  })

  test('others are copied', async () => {
    const ranges = [{ source: 'source', offset: 1, length: 20 * MiB }]
    const taken = await bytesTaken('copied', ranges)
    assert.ok(taken >= 19 * MiB, String(taken))
  })

  test('a whole object gets a second name, and is copied where the system allows none', async () => {
    const whole = { source: 'source', offset: 0, length: source.length, whole: true }
    const links = async (name: string): Promise<number> => (await stat(join(mountPoint, name))).nlink
    await store.compose('second', [whole], [])
    assert.deepEqual([await links('second'), await links('source')], [2, 2])
    // Nobody may link to a file that nobody may change.
    await runTool('chattr', ['+i', join(mountPoint, 'source')])
    try {
      await store.compose('third', [whole], [])
      assert.deepEqual([await links('third'), await links('source')], [1, 2])
      assert.ok(Buffer.from(source).equals(await store.get('third')))
    } finally {
      await runTool('chattr', ['-i', join(mountPoint, 'source')])
    }
  })
})
