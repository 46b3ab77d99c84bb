import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { after, before, test } from 'node:test'
import { backupSet, type BackupOutcome } from '@strata/agent/backup.ts'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { blockBytesMin } from '@strata/shared/limits.ts'
import type { Uplink } from '@strata/shared/protocol/uplink.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { readPoint } from '@strata/shared/repository/points.ts'
import { JobQueues } from '@strata/workers/gateway/job-queues.ts'
import type { JobWorkers } from '@strata/workers/job-workers.ts'
import { LocalSessions } from '@strata/workers/local/local-sessions.ts'
import { localGateway, localWorkers } from '@strata/workers/testing/local-parts.ts'
import { RedisGuard } from '@strata/workers/redis-guard.ts'
import { makeRepository, seededRandom } from '../fixtures/make-point.ts'
import { restoreTo } from '../fixtures/restore.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

/** Blocks that do not compress in each segment. */
const segmentBlocks = 2
const segments = 6

describeWith(redisRequirement, 'a session that more than one worker serves', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  test('each worker seals under a key of its own, none is written down, and the point restores', async (t) => {
    await using directory = await temporaryDirectory()
    const made = await makeRepository()
    const place = { address: { url: redis.url }, prefix: 'worker-keys' }
    const handOverPath = directory.file('hand-over')
    await mkdir(handOverPath)
    const startWorkers = (): JobWorkers => localWorkers(made.repository, place, handOverPath)
    let workers = startWorkers()
    const guard = await RedisGuard.begin(place)
    const queues = new JobQueues({ own: place, shared: place }, guard, systemRandomBytes)
    t.after(async () => {
      await workers.close()
      await queues.close()
      guard.close()
    })
    const gateway = localGateway(made.repository, queues, systemClock, segmentBlocks * blockBytesMin)
    const sessions = new LocalSessions(gateway, handOverPath)
    const left = new Set<string>()
    const startedAnew = async (segment: number): Promise<void> => {
      for (const name of await readdir(handOverPath, { recursive: true })) left.add(name)
      if (segment !== segments / 2) return
      await workers.close()
      workers = startWorkers()
    }
    const source = directory.file('disk.img')
    await writeFile(source, seededRandom('worker-keys')(segments * segmentBlocks * blockBytesMin))
    const outcome = await backUp(uplinkOf(sessions, startedAnew), source, directory.file('state'))
    assert.equal(outcome.segments, segments)

    const files = [...left].filter((name) => name !== outcome.point)
    assert.ok(files.length > 0)
    for (const name of files) assert.match(name, new RegExp(`^${outcome.point}/[0-9a-f]{32}-[0-9]+\\.segment$`))

    const point = await readPoint(made.repository, outcome.set, outcome.sequence)
    const { root } = await PointMap.open(made.repository, point)
    assert.equal(new Set(root.keys.map(({ keyId }) => keyId)).size, 2)
    await restoreTo(made, point, directory.file('restored.img'))
    assert.ok((await readFile(source)).equals(await readFile(directory.file('restored.img'))))
  })
})

/** An agent's way to the gateway in the same process, one segment after the other; `between` is called before each. */
function uplinkOf(sessions: LocalSessions, between: (segment: number) => Promise<void>): Uplink {
  return {
    open: async (request) => {
      const { info, spoolDirectory } = await sessions.open(request)
      const { gateway } = sessions
      let last = Promise.resolve()
      return {
        ...info,
        spoolDirectory,
        presentHistory: (points) => gateway.presentHistory(info, points),
        baseDigests: (...pages) => gateway.baseDigests(info, ...pages),
        send: (segment, path) => {
          const sent = last.then(async () => {
            await between(segment)
            await sessions.send(info, segment, basename(path))
          })
          last = sent.catch(() => undefined)
          return sent
        },
        finish: (end) => sessions.finish(info, end),
        abandon: () => sessions.abandon(info),
      }
    },
  }
}

function backUp(uplink: Uplink, path: string, stateDirectory: string): Promise<BackupOutcome> {
  return backupSet({
    uplink,
    sources: [{ name: 'disk', path }],
    setName: 'machine',
    kind: 'auto',
    blockBytes: blockBytesMin,
    stateDirectory,
    allowChanging: false,
    clock: systemClock,
    scanThreads: 1,
  })
}
