import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { segmentBytesMax } from '@strata/shared/limits.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertRefusal, describeRun, Hold, MiB, Place, preload } from './place.ts'

/** The service process of a backup: what it takes of the machine, and how it ends. */
describeWith(redisRequirement, 'the service process of a backup', () => {
  let place: Place
  let args: readonly string[]
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good', '--json']
  })
  after(() => place[Symbol.asyncDispose]())

  test('it steps back behind the agent, also where that is nice already and may not become less so', async () => {
    await place.changeDisk()
    const hold = await Hold.at(place, /\/open$/)
    const asUser = ['nice', '-n', '10', 'setpriv', '--bounding-set=-sys_nice', '--']
    const run = place.start(args, { env: hold.env, through: asUser })
    await hold.reached(run)
    const [agent, service] = [await place.processOf('agent'), await place.processOf('service')]
    assert.equal(await nicenessOf(service), Math.min(19, (await nicenessOf(agent)) + 1))
    await hold.release()
    const ended = await run.ended
    assert.equal(ended.exitCode, 0, describeRun(ended))
    await place.assertNothingLeft()
  })

  test('on a machine with many cores it has as many threads as there is work for', async () => {
    await place.changeDisk()
    const threads = place.file('threads')
    await mkdir(threads)
    const preloads = `--import=${preload('many-cores.mjs')}`
    const env = { NODE_OPTIONS: preloads, STRATA_TEST_CORES: '32', STRATA_TEST_THREADS_IN: threads }
    const run = place.start(args, { env })
    const mark = `thread-${String(await place.processOf('service'))}-`
    const ended = await run.ended
    assert.equal(ended.exitCode, 0, describeRun(ended))
    const ofService = (await readdir(threads)).filter((name) => name.startsWith(mark))
    // The one segment that there is.
    assert.equal(ofService.length, 1)
  })

  test('calls into a service that has just died: its death is told, and the agent clears away what is its own', async () => {
    const disk = place.file('large.img')
    // More than one segment holds, so that two are on their way.
    await writeFile(disk, randomBytes(segmentBytesMax + 8 * MiB))
    const before = await place.objects(/\/points\//)
    const env = { NODE_OPTIONS: `--import=${preload('kill-peer.mjs')}`, STRATA_TEST_KILL_SERVICE_AT: 'sent' }
    const run = await place.run(['backup', disk, '--set', 'large', '--json'], {
      env: { ...env, STRATA_TEST_KILL_AFTER: '2' },
    })
    assertRefusal(run, 'E_WORKER_DIED')
    assert.deepEqual(await place.processes(), [])
    const state = await readdir(place.file('state'), { recursive: true })
    assert.deepEqual(
      state.filter((name) => name.endsWith('.new')),
      [],
    )
    assert.deepEqual(await place.objects(/\/points\//), before)
    await place.assertStillGood()
  })

  test('an answer to an agent that has just died: nothing plain stays behind, nor a process', async () => {
    // To start, to open, and to the first segment.
    for (const answer of ['1', '2', '3']) {
      await place.changeDisk()
      const env = { NODE_OPTIONS: `--import=${preload('kill-peer.mjs')}`, STRATA_TEST_KILL_AGENT_AT: answer }
      const run = await place.run(args, { env })
      assert.equal(run.signal, 'SIGKILL', describeRun(run))
      await place.untilNoProcess()
      await place.assertNothingLeft(run)
    }
    await place.assertStillGood()
  })
})

async function nicenessOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8')
  // The fields after the program's name, which may hold anything, begin with the third.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19 - 3])
}
