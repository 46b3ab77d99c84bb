import assert from 'node:assert/strict'
import { mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { assertRefusal, makeDisk, MiB, Place, writeAt } from '../end-to-end/place.ts'
import { mounted } from '../fixtures/loop-device.ts'
import { describeWith, rootRequirement } from '../servers/require-server.ts'
import { Fleet, Machine } from './fleet.ts'

const KiB = 1024
const tmpfs = ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs']

/** Fills a file system up to `leftBytes`. Gives the way back. */
async function filled(folder: string, leftBytes: number): Promise<() => Promise<void>> {
  const path = join(folder, 'filler')
  const { bavail, bsize } = await statfs(folder)
  await writeFile(path, Buffer.alloc(Math.max(0, bavail * bsize - leftBytes)))
  return () => rm(path)
}

describeWith(rootRequirement, 'bad input: a full state disk on the endpoint', () => {
  test('each run is whole or none, and the first one with space goes on', async () => {
    await using place = await Place.empty()
    await place.answers('init')
    const fleet = new Fleet(place)
    const server = await fleet.serve()
    const disk = place.file('disk.img')
    // Digests of 64 MiB in blocks of 64 KiB: a page of 32 KiB, and its file has a header of 4 KiB.
    await makeDisk(disk, 1, 64 * MiB)
    const run = ['agent', 'run', `disk=${disk}`, '--block-size', '64K']
    const machine = new Machine(place, 'small')
    const folder = place.file('machine-small')
    await mkdir(folder)
    {
      await using _small = await mounted(tmpfs, folder)
      const token = await place.run(['--json', 'token', 'create'])
      const { token: line } = JSON.parse(token.output) as { token: string }
      const enrolling = ['agent', 'enroll', '--service', server.address, '--token', line, '--name', 'small']
      // Room for nothing; then for the key, and not for what the service answered.
      for (const left of [0, 4 * KiB, 8 * KiB]) {
        const free = await filled(folder, left)
        const enrolled = await machine.start(enrolling).ended
        if (enrolled.exitCode !== 0) assertRefusal(enrolled, 'E_CONFIGURATION')
        await free()
        const names = await readdir(folder)
        assert.ok(
          names.every((name) => /^(identity|enrolment)\.json$/.test(name)),
          names.join(' '),
        )
      }
      if (!(await readdir(folder)).includes('identity.json')) await machine.answer(enrolling)

      let refusals = 0
      for (const left of [0, 4 * KiB, 12 * KiB, 24 * KiB, 40 * KiB, 48 * KiB]) {
        const free = await filled(folder, left)
        const ended = await machine.start(run).ended
        await free()
        if (ended.exitCode === 0) continue
        refusals += 1
        assertRefusal(ended, 'E_STATE_UNWRITABLE')
      }
      assert.ok(refusals > 0, 'one run at least had no room')
      await writeAt(disk, 8 * MiB, Buffer.alloc(MiB, 'with space'))
      const outcome = await machine.backUp(disk, '--block-size', '64K')
      await fleet.stop()
      await place.untilNoProcess()
      for (const { point, state } of await place.points()) assert.equal(state, 'complete', point)
      await place.assertRestores(outcome.point, disk)
    }
  })
})
