import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { blockBytesDefault } from '@strata/shared/limits.ts'
import { MiB, Place, until, writeAt } from '../end-to-end/place.ts'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Fleet } from './fleet.ts'

describeWith(redisRequirement, 'an agent and its service', () => {
  test('a machine enrols, backs up, and backs up what changed; the store restores it to the byte', async () => {
    await using place = await Place.empty()
    await place.answers('init')
    const fleet = new Fleet(place)
    const server = await fleet.serve()
    const machine = await fleet.machine('web1', server)
    const disk = place.file('disk.img')
    await writeFile(disk, randomBytes(5 * MiB + 4096))
    const full = await machine.backUp(disk)
    assert.equal(full.kind, 'full')
    await writeAt(disk, 2 * MiB, randomBytes(MiB))
    const second = await machine.backUp(disk)
    assert.equal(second.kind, 'incremental')
    assert.ok(second.changedBytes <= 2 * MiB)
    const data = await machine.backUp(disk, '--set', 'data')
    assert.equal(data.kind, 'full')
    await fleet.stop()
    await place.untilNoProcess()
    const points = await place.points()
    assert.deepEqual(points.map(({ point }) => point).sort(), [full.point, second.point, data.point].sort())
    await place.assertRestores('latest:web1', disk)
    await place.assertRestores('latest:web1@data', disk)
  })

  test('a run that is killed is gone on with; what was acknowledged is not sent again', async () => {
    await using place = await Place.empty()
    await place.answers('init')
    const fleet = new Fleet(place)
    const server = await fleet.serve()
    const machine = await fleet.machine('web1', server)
    const disk = place.file('disk.img')
    const diskBytes = 256 * MiB
    await writeFile(disk, randomBytes(diskBytes))
    const killed = machine.start(['agent', 'run', `disk=${disk}`], { STRATA_BANDWIDTH_LIMIT: '40M' })
    await until(async () => ((await machine.acknowledged()) > 0 ? true : undefined))
    killed.child.kill('SIGKILL')
    await killed.ended
    const acknowledgedBytes = (await machine.acknowledgedBlocks()) * blockBytesDefault
    assert.ok(acknowledgedBytes > 0)
    await writeAt(disk, 0, randomBytes(MiB))
    const outcome = await machine.backUp(disk)
    assert.equal(outcome.kind, 'full')
    assert.ok(outcome.changedBytes <= diskBytes - acknowledgedBytes + MiB, String(outcome.changedBytes))
    await fleet.stop()
    await place.untilNoProcess()
    await place.assertRestores(outcome.point, disk)
    assert.deepEqual(await readdir(place.file('hand-over')), [])
    assert.deepEqual(await readdir(machine.spool), [])
  })

  test('in the same view, pages that were read and acknowledged are not even read again', async () => {
    await using place = await Place.empty()
    await place.answers('init')
    const fleet = new Fleet(place)
    const server = await fleet.serve()
    const machine = await fleet.machine('web1', server)
    const disk = place.file('disk.img')
    // A page of the map is 1,024 blocks.
    const pageBytes = 64 * MiB
    const diskBytes = 3 * pageBytes + 4096
    await writeFile(disk, randomBytes(diskBytes))
    const args = ['agent', 'run', `disk=${disk}`, '--block-size', '64K']
    const killed = machine.start(args, { STRATA_BANDWIDTH_LIMIT: '40M' })
    await until(async () => ((await machine.acknowledgedBlocks()) >= 2 * 1024 ? true : undefined))
    killed.child.kill('SIGKILL')
    await killed.ended
    const outcome = await machine.answer<BackupAnswer>(args)
    assert.ok(outcome.bytesRead <= diskBytes - pageBytes, `${String(outcome.bytesRead)} bytes were read`)
    await fleet.stop()
    await place.untilNoProcess()
    await place.assertRestores(outcome.point, disk)
  })

  test('nothing that an endpoint has opens the store, the queue or another endpoint', async () => {
    await using place = await Place.empty()
    await place.answers('init')
    const fleet = new Fleet(place)
    const server = await fleet.serve()
    const machine = await fleet.machine('web1', server)
    const refused = await machine.start(['points']).ended
    assert.equal(refused.exitCode, 2)
    const identity = await machine.identity()
    assert.deepEqual(Object.keys(identity).sort(), [
      'caFile',
      'endpoint',
      'endpointName',
      'privateKey',
      'proxy',
      'repository',
      'serviceUrl',
      'strata',
      'tenant',
      'version',
    ])
    await fleet.stop()
  })
})
