import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loopDevice, loopRequirement, mounted } from '../fixtures/loop-device.ts'
import { runTool } from '../fixtures/tool.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertRefusal, MiB, Place } from './place.ts'

/** Block devices as sources and as targets, from the command line. */
describeWith(loopRequirement, 'devices from end to end', () => {
  test('a device that stays in use is backed up, and comes back to another device', async () => {
    await using place = await Place.empty()
    await place.answers('init')
    await using source = await loopDevice(place.file('source'), 24 * MiB)
    await runTool('mkfs.ext4', ['-q', source.path])
    const mountPoint = place.file('mount')
    await mkdir(mountPoint)
    const backUp = (): Promise<{ point: string; kind: string }> =>
      place.answers('backup', `disk=${source.path}`, '--set', 'devices')
    const kept = join(mountPoint, 'kept')
    const [first, second] = await (async () => {
      await using _mount = await mounted([source.path], mountPoint)
      await writeFile(kept, 'at first')
      await runTool('sync', ['-f', mountPoint])
      const before = await backUp()
      await writeFile(kept, 'and then')
      await rm(join(mountPoint, 'lost+found'), { recursive: true })
      await runTool('sync', ['-f', mountPoint])
      return [before, await backUp()]
    })()
    assert.deepEqual([first.kind, second.kind], ['full', 'incremental'])
    await using target = await loopDevice(place.file('target'), 24 * MiB)
    for (const [point, text] of [
      [first.point, 'at first'],
      [second.point, 'and then'],
    ] as const) {
      await place.answers('restore', point, '--to', target.path)
      await runTool('e2fsck', ['-f', '-p', target.path], { goodExitCodes: [0, 1] })
      await using _mount = await mounted([target.path], mountPoint)
      assert.equal(await readFile(kept, 'utf8'), text)
      assertRefusal(await place.run(['restore', point, '--to', target.path, '--json']), 'E_TARGET_MOUNTED')
    }
  })
})
