import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { loopDevice, skipWithoutLoopDevices, whileMounted } from './testing/loop-device.ts'
import { run, skipWithout } from './testing/programs.ts'
import { Workbench } from './testing/workbench.ts'

const MiB = 1024 * 1024

function workbench(t: TestContext): Workbench {
  const bench = new Workbench()
  t.after(() => {
    bench.remove()
  })
  return bench
}

/** The last point is what lies below the device now. */
function assertLastImage(bench: Workbench, backingFile: string): void {
  const image = bench.uplink.points.at(-1)?.images[0]
  assert.ok(image?.equals(readFileSync(backingFile)) === true, 'the disk is the same to the byte')
}

suite('a backup of a block device', { skip: skipWithoutLoopDevices() }, () => {
  for (const { sizeBytes, sectorBytes } of [
    { sizeBytes: 3 * MiB + 512, sectorBytes: 512 },
    { sizeBytes: 5 * MiB - 1536, sectorBytes: 512 },
    { sizeBytes: 2 * MiB + 4096, sectorBytes: 4096 },
    { sizeBytes: 512, sectorBytes: 512 },
  ]) {
    test(`of ${String(sizeBytes)} bytes in sectors of ${String(sectorBytes)}, to its last one`, async (t) => {
      const bench = workbench(t)
      const backingFile = bench.path('backing.img')
      writeFileSync(backingFile, randomBytes(sizeBytes))
      const device = loopDevice(t, backingFile, sectorBytes)
      const sources = [{ name: 'd', path: device }]
      const full = await bench.backup('', { sources })
      assert.equal(full.changedBytes, sizeBytes)
      assertLastImage(bench, backingFile)
      run(
        'dd',
        'if=/dev/urandom',
        `of=${device}`,
        `bs=${String(sectorBytes)}`,
        'count=1',
        `seek=${String(sizeBytes / sectorBytes - 1)}`,
      )
      const incremental = await bench.backup('', { sources })
      assert.equal(incremental.changedBytes, sizeBytes % 65536)
      assertLastImage(bench, backingFile)
    })
  }

  const skip = skipWithout('mke2fs', 'mount')
  test('what a file system writes that stays mounted is in the next point', { skip }, async (t) => {
    const bench = workbench(t)
    const backingFile = bench.path('backing.img')
    writeFileSync(backingFile, '')
    truncateSync(backingFile, 64 * MiB)
    run('mke2fs', '-q', '-t', 'ext4', '-E', 'lazy_itable_init=0,lazy_journal_init=0', backingFile)
    const device = loopDevice(t, backingFile)
    const place = bench.path('mounted')
    mkdirSync(place)
    await whileMounted(device, place, async () => {
      const file = join(place, 'file')
      writeFileSync(file, '')
      const write = (text: string): void => {
        writeFileSync(file, Buffer.alloc(8 * MiB, text), { flag: 'r+' })
        run('sync', '--file-system', place)
      }
      write('before')
      const sources = [{ name: 'd', path: device }]
      await bench.backup('', { sources })
      assertLastImage(bench, backingFile)
      write('after')
      const outcome = await bench.backup('', { sources })
      assert.equal(outcome.consistency, 'unchanged')
      assert.ok(outcome.changedBytes >= 8 * MiB, `${String(outcome.changedBytes)} bytes changed`)
      assertLastImage(bench, backingFile)
    })
  })
})
