import assert from 'node:assert/strict'
import { after, before, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fairBytes } from '@strata/shared/limits.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId, type TenantId } from '@strata/shared/types.ts'
import { Admission, type Upload } from '@strata/workers/gateway/admission.ts'
import { Queue, Worker, type Job } from 'bullmq'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

/** Packing and sending take as long as they take; what is measured is who has to wait for whom. */
const packMs = 20
const sendMs = 10
const packsAtOnce = 2
const segmentsMax = 32
const lanesPerAgent = 4
const busyAgents = 30
const smallBackupSegments = 4
const runs = 9

interface Service {
  readonly admission: Admission
  /** Whose jobs were begun, in this order. */
  readonly begun: string[]
  readonly inFlight: () => number
  readonly inFlightMost: () => number
  /** Sends one segment as an agent does, and answers how often it was refused. */
  readonly send: (upload: Upload, onQueued?: () => void) => Promise<number>
}

interface SmallBackup {
  readonly ms: number
  readonly refusals: number
  /** Jobs of the other tenant that were begun after its own were all there, and before the last of them. */
  readonly othersBefore: number
}

describeWith(redisRequirement, 'a small backup beside a tenant that sends without pause', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  /** A gateway, its queue and its workers, with no blocks in them. */
  function startService(t: TestContext, prefix: string): Service {
    const connection = { url: redis.url, maxRetriesPerRequest: null }
    const queue = new Queue('ingest', { connection, prefix })
    const place = { address: { url: redis.url }, prefix }
    const limits = { segmentsMax, retryAfterMsMin: 10, retryAfterMsMax: 500 }
    const admission = new Admission(place, 'ingest', seededRandom(prefix), limits)
    const begun: string[] = []
    const packed = new Map<string, () => void>()
    const pack = async ({ id = '', name }: Job): Promise<void> => {
      begun.push(name)
      await sleep(packMs)
      packed.get(id)?.()
    }
    const worker = new Worker('ingest', pack, { connection, prefix, concurrency: packsAtOnce })
    t.after(async () => {
      await worker.close()
      await queue.close()
      admission.close()
    })
    let [inFlight, inFlightMost] = [0, 0]
    const send = async (upload: Upload, onQueued?: () => void): Promise<number> => {
      const refusals = await untilAdmitted(admission, upload)
      inFlight += 1
      inFlightMost = Math.max(inFlightMost, inFlight)
      await sleep(sendMs)
      const jobId = `${upload.session}-${String(upload.segment)}`
      const done = new Promise<void>((resolve) => packed.set(jobId, resolve))
      await queue.add(upload.tenant, {}, { jobId, priority: await admission.queued(upload) })
      onQueued?.()
      await done
      inFlight -= 1
      await admission.release(upload)
      return refusals
    }
    return { admission, begun, send, inFlight: () => inFlight, inFlightMost: () => inFlightMost }
  }

  /** Sends segment after segment, in so many lanes, until told to stop. */
  function sendWithoutPause({ send }: Service): { stop: () => Promise<void> } {
    let isOver = false
    const lanes = Array.from({ length: busyAgents * lanesPerAgent }, async (_, lane) => {
      for (let segment = lane % lanesPerAgent; !isOver; segment += lanesPerAgent) {
        await send(uploadOf('a', Math.floor(lane / lanesPerAgent), segment))
      }
    })
    return {
      stop: async () => {
        isOver = true
        await Promise.all(lanes)
      },
    }
  }

  async function smallBackup({ send, begun }: Service, run: number): Promise<SmallBackup> {
    const startedMs = performance.now()
    let begunWhenQueued = 0
    const segments = Array.from({ length: smallBackupSegments }, (_, segment) =>
      send(uploadOf('b', run, segment), () => {
        begunWhenQueued = begun.length
      }),
    )
    const refusals = (await Promise.all(segments)).reduce((sum, count) => sum + count, 0)
    const { tenant } = uploadOf('b', run, 0)
    const meanwhile = begun.slice(begunWhenQueued, begun.lastIndexOf(tenant))
    const othersBefore = meanwhile.filter((whose) => whose !== tenant).length
    return { ms: performance.now() - startedMs, refusals, othersBefore }
  }

  /** Each begins when the other tenant, if there is one, had the workers to itself for a while. */
  async function smallBackups(service: Service, isBeside: boolean): Promise<SmallBackup[]> {
    const done: SmallBackup[] = []
    for (let run = 0; run < runs; run += 1) {
      const begunBefore = service.begun.length
      while (isBeside && service.begun.length < begunBefore + segmentsMax / 2) await sleep(1)
      done.push(await smallBackup(service, run))
    }
    return done
  }

  test('is admitted at once, and waits for no more jobs than it has itself', { timeout: 60_000 }, async (t) => {
    const alone = await smallBackups(startService(t, 'alone'), false)
    const service = startService(t, 'beside')
    const busy = sendWithoutPause(service)
    // One tenant alone may have half of what there is.
    while (service.inFlight() < segmentsMax / 2) await sleep(1)
    const beside = await smallBackups(service, true)
    await busy.stop()
    t.diagnostic(`alone ${medianMs(alone)} ms, beside ${medianMs(beside)} ms`)
    for (const { refusals, othersBefore } of beside) {
      assert.equal(refusals, 0)
      assert.ok(othersBefore <= smallBackupSegments, `${String(othersBefore)} jobs of the other went before`)
    }
    assert.ok(service.inFlightMost() <= segmentsMax / 2 + smallBackupSegments)
  })
})

function medianMs(backups: readonly SmallBackup[]): string {
  const sorted = backups.map(({ ms }) => ms).toSorted((one, other) => one - other)
  return (sorted[Math.floor(sorted.length / 2)] ?? 0).toFixed(0)
}

async function untilAdmitted(admission: Admission, upload: Upload): Promise<number> {
  for (let refusals = 0; ; refusals += 1) {
    const answer = await admission.admit(upload)
    if (answer.admitted) return refusals
    await sleep(answer.retryAfterMs)
  }
}

function uploadOf(tenant: string, agent: number, segment: number): Upload {
  const session = asId<SessionId>(`${tenant}${String(agent)}`.padStart(32, '0'))
  return { tenant: asId<TenantId>(tenant.padStart(32, '0')), session, segment, bytes: fairBytes }
}
