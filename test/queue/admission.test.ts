import assert from 'node:assert/strict'
import { after, before, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { StrataError } from '@strata/shared/errors.ts'
import { lineSeenMax, permitSweepMax } from '@strata/shared/limits.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId, type TenantId } from '@strata/shared/types.ts'
import { Admission, type Admitted, type AdmissionLimits, type Upload } from '@strata/workers/gateway/admission.ts'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

const MiB = 1024 ** 2
const limits: Partial<AdmissionLimits> = {
  bytesMax: 640 * MiB,
  segmentsMax: 1000,
  stagedBytesMax: 6400 * MiB,
  segmentsPerSessionMax: 4,
  // Nobody loses a turn because the machine is slow.
  retryGraceMs: 600_000,
}

/** Ten of these fill what may be in flight. */
function segment(tenant: string, session: number, number: number, bytes = 64 * MiB): Upload {
  const [tenantId, sessionId] = [tenant.padStart(32, '0'), `${tenant}${String(session)}`.padStart(32, '0')]
  return { tenant: asId<TenantId>(tenantId), session: asId<SessionId>(sessionId), segment: number, bytes }
}

describeWith(redisRequirement, 'admission', () => {
  let redis: TestRedis
  let client: Redis
  before(async () => {
    redis = await startRedis()
    client = new Redis(redis.url)
  })
  after(async () => {
    client.disconnect()
    await redis.stop()
  })

  interface Bench {
    readonly prefix: string
    readonly admission: Admission
    readonly counted: () => Promise<Record<string, number>>
    /** As if all that was admitted so far had been long ago. */
    readonly runOut: () => Promise<void>
    /** Of `wanted`, those that were admitted. */
    readonly admitted: (wanted: readonly Upload[]) => Promise<Upload[]>
    readonly whyNot: (wanted: Upload) => Promise<string | undefined>
  }

  function bench(t: TestContext, options: Partial<AdmissionLimits> = {}): Bench {
    const prefix = t.name.replaceAll(/[^a-z]+/g, '-')
    const place = { address: { url: redis.url }, prefix }
    const admission = new Admission(place, 'ingest', seededRandom(t.name), { ...limits, ...options })
    t.after(() => {
      admission.close()
    })
    const counted = async (): Promise<Record<string, number>> => {
      const held = await client.hgetall(`${prefix}:admission:held`)
      const totals = Object.entries(held).filter(([field]) => /^[a-z]+$/.test(field) && field !== 'turn')
      return Object.fromEntries(totals.map(([field, value]) => [field, Number(value)]))
    }
    const runOut = async (): Promise<void> => {
      const flight = `${prefix}:admission:flight`
      for (const permit of await client.zrange(flight, '0', '-1')) await client.zadd(flight, 1, permit)
    }
    const admitted = async (wanted: readonly Upload[]): Promise<Upload[]> => {
      const answers: Upload[] = []
      for (const one of wanted) if ((await admission.admit(one)).admitted) answers.push(one)
      return answers
    }
    const whyNot = async (wanted: Upload): Promise<string | undefined> => {
      const answer = await admission.admit(wanted)
      return answer.admitted ? undefined : answer.reason
    }
    return { prefix, admission, counted, runOut, admitted, whyNot }
  }

  const many = (tenant: string, sessions: number, each = 4): Upload[] =>
    Array.from({ length: sessions * each }, (_, n) => segment(tenant, Math.floor(n / each), n % each))

  /** As much as one tenant alone may have; nobody is refused. */
  const half = many('a', 2).slice(0, 5)

  test('one tenant alone has half of everything, and another one comes in at once', async (t) => {
    const { admitted, counted, whyNot } = bench(t)
    assert.equal((await admitted(many('a', 5))).length, 5)
    assert.equal(await whyNot(segment('a', 4, 0)), 'bytes')
    assert.equal((await admitted(many('b', 1))).length, 2)
    assert.equal((await admitted(many('c', 1))).length, 1)
    assert.equal((await admitted(many('d', 1))).length, 1)
    assert.deepEqual(await counted(), { bytes: 576 * MiB, segments: 9, staged: 576 * MiB })
  })

  test('who asks again, of whatever gateway, keeps the one permit', async (t) => {
    const { prefix, admission, admitted, counted } = bench(t)
    await admitted(many('a', 1))
    const before = await counted()
    const other = new Admission({ address: { url: redis.url }, prefix }, 'ingest', seededRandom('other'), limits)
    assert.ok((await other.admit(segment('a', 0, 3))).admitted)
    other.close()
    assert.deepEqual(await counted(), before)
    await admission.release(segment('a', 0, 3))
    await admission.release(segment('a', 0, 3))
    assert.deepEqual(await counted(), { bytes: 192 * MiB, segments: 3, staged: 192 * MiB })
  })

  test('a segment that became larger needs room for the rest', async (t) => {
    const { admitted, counted, whyNot } = bench(t)
    await admitted([...many('a', 1, 3), segment('a', 0, 3, MiB)])
    assert.equal(await whyNot(segment('a', 0, 3, 64 * MiB)), undefined)
    assert.deepEqual(await counted(), { bytes: 256 * MiB, segments: 4, staged: 256 * MiB })
    await admitted([segment('a', 1, 0, MiB), segment('b', 0, 0), segment('c', 0, 0)])
    assert.equal(await whyNot(segment('a', 1, 0, 64 * MiB)), 'bytes')
    assert.deepEqual(await counted(), { bytes: 385 * MiB, segments: 7, staged: 385 * MiB })
  })

  test('a session has only so many segments in flight', async (t) => {
    const { admission, admitted, whyNot } = bench(t)
    assert.equal((await admitted(many('a', 1, 5))).length, 4)
    assert.equal(await whyNot(segment('a', 0, 4)), 'session')
    await admission.release(segment('a', 0, 0))
    assert.equal(await whyNot(segment('a', 0, 4)), undefined)
  })

  test('sessions of a tenant take turns', async (t) => {
    const { admission, admitted, whyNot } = bench(t)
    await admitted(half)
    for (const session of [2, 3]) assert.equal(await whyNot(segment('a', session, 0)), 'bytes')
    await admission.release(segment('a', 0, 0))
    assert.equal(await whyNot(segment('a', 0, 4)), 'bytes')
    assert.equal(await whyNot(segment('a', 3, 0)), 'bytes')
    assert.equal(await whyNot(segment('a', 2, 0)), undefined)
    await admission.release(segment('a', 0, 1))
    assert.equal(await whyNot(segment('a', 2, 1)), 'bytes')
    assert.equal(await whyNot(segment('a', 3, 0)), undefined)
  })

  test('a session that waits and renews a permit meanwhile keeps its place', async (t) => {
    const { admission, admitted, whyNot } = bench(t)
    await admitted(half)
    for (const session of [1, 2]) assert.equal(await whyNot(segment('a', session, 1)), 'bytes')
    assert.equal(await whyNot(segment('a', 1, 0)), undefined)
    await admission.release(segment('a', 0, 0))
    assert.equal(await whyNot(segment('a', 2, 1)), 'bytes')
    assert.equal(await whyNot(segment('a', 1, 1)), undefined)
  })

  test('who does not come back loses its turn', { timeout: 20_000 }, async (t) => {
    const { admission, admitted, whyNot } = bench(t, { retryAfterMsMin: 50, retryAfterMsMax: 100, retryGraceMs: 1500 })
    const tenants = ['a', 'b', 'c', 'd', 'e', 'f', '1', '2', '3', '4']
    assert.equal((await admitted(tenants.map((tenant) => segment(tenant, 0, 0)))).length, 10)
    await admission.release(segment('a', 0, 0))
    assert.equal(await whyNot(segment('5', 0, 0, 66 * MiB)), 'bytes')
    assert.equal(await whyNot(segment('6', 0, 0)), 'bytes')
    while ((await whyNot(segment('6', 0, 0))) !== undefined) await sleep(20)
  })

  test('a permit that is not renewed runs out', { timeout: 20_000 }, async (t) => {
    const { admitted, counted, whyNot } = bench(t, { permitLifeMs: 1000 })
    assert.equal((await admitted(half)).length, 5)
    while ((await whyNot(segment('a', 5, 0))) !== undefined) {
      await sleep(20)
      assert.equal(await whyNot(segment('a', 0, 0)), undefined)
    }
    while (((await counted())['segments'] ?? 0) > 2) {
      await sleep(20)
      for (const session of [0, 5]) assert.equal(await whyNot(segment('a', session, 0)), undefined)
    }
  })

  test('what may lie in staging counts for longer, but for its own tenant only', async (t) => {
    const { admission, admitted, counted, runOut, whyNot } = bench(t, { stagedBytesMax: 640 * MiB })
    assert.equal((await admitted(half)).length, 5)
    await runOut()
    assert.equal(await whyNot(segment('a', 6, 0)), undefined, 'who has nothing in flight')
    assert.equal(await whyNot(segment('a', 6, 1)), 'staged')
    assert.equal(await whyNot(segment('b', 0, 0)), undefined)
    for (const left of half) await admission.release(left)
    await runOut()
    assert.equal(await whyNot(segment('c', 0, 0)), undefined)
    assert.deepEqual(await counted(), { bytes: 64 * MiB, segments: 1, staged: 192 * MiB })
  })

  test('permits that ran out are cleared away in bounded steps', async (t) => {
    const { admitted, counted, runOut, whyNot } = bench(t)
    const tenants = Array.from({ length: 3 * permitSweepMax }, (_, n) => segment(String(n), 0, 0, MiB))
    assert.equal((await admitted(tenants)).length, tenants.length)
    await runOut()
    for (const left of [2, 1, 0]) {
      assert.equal(await whyNot(segment('a', 0, 9 - left, MiB)), undefined)
      assert.equal((await counted())['segments'], left * permitSweepMax + 3 - left)
    }
  })

  test('when Redis forgets everything, the limits start from zero', async (t) => {
    const { admission, admitted, counted } = bench(t)
    await admitted(many('a', 2))
    await client.flushall()
    await admission.release(segment('a', 0, 0))
    assert.deepEqual(await counted(), {})
    assert.equal(await admission.queued(segment('a', 0, 1)), 1)
    assert.deepEqual(await counted(), { bytes: 64 * MiB, segments: 1, jobs: 1, staged: 64 * MiB })
    assert.equal((await admitted(many('b', 2))).length, 4)
    await admission.release(segment('a', 0, 1))
    assert.deepEqual(await counted(), { bytes: 256 * MiB, segments: 4, staged: 256 * MiB })
  })

  test('jobs that nobody has a permit for count as well', async (t) => {
    const { prefix, admitted, whyNot } = bench(t, { segmentsMax: 10 })
    const queue = new Queue('ingest', { connection: { url: redis.url }, prefix })
    for (let job = 0; job < 9; job += 1)
      await queue.add('ingest', {}, [{}, { priority: 7 }, { delay: 60_000 }][job % 3])
    assert.equal((await admitted(many('a', 1))).length, 1)
    await queue.add('ingest', {})
    assert.equal(await whyNot(segment('b', 0, 0)), 'segments')
    await queue.close()
  })

  test('in a Redis that is full nothing is counted that nobody has', async (t) => {
    const { admission, admitted, counted, runOut } = bench(t)
    await admitted([...many('a', 1, 2), segment('b', 0, 0)])
    await runOut()
    let newcomers = 0
    await client.config('SET', 'maxmemory', '1')
    try {
      await admission.release(segment('a', 0, 0))
      // Whether Redis takes a script in this state depends on what the script does first.
      for (const tenant of ['c', 'd']) newcomers += Number(await isTaken(admission.admit(segment(tenant, 0, 0))))
    } finally {
      await client.config('SET', 'maxmemory', '0')
    }
    assert.ok((await admission.admit(segment('e', 0, 0))).admitted)
    const [bytes, staged] = [(newcomers + 1) * 64 * MiB, (newcomers + 3) * 64 * MiB]
    assert.deepEqual(await counted(), { bytes, segments: newcomers + 1, staged })
  })

  test('a Redis that says nothing is not waited for', { timeout: 20_000 }, async (t) => {
    const { admission, admitted } = bench(t)
    await admitted(many('a', 1))
    process.kill(redis.process.pid, 'SIGSTOP')
    try {
      t.mock.timers.enable({ apis: ['setTimeout'] })
      const refused = assert.rejects(admission.admit(segment('b', 0, 0)), { code: 'E_REDIS_UNREACHABLE' })
      t.mock.timers.tick(60_000)
      await refused
    } finally {
      t.mock.timers.reset()
      process.kill(redis.process.pid, 'SIGCONT')
    }
  })

  test('thousands that are refused do not come back at once', async (t) => {
    const { admission, admitted } = bench(t)
    await admitted(half)
    const delays: number[] = []
    for (let session = 10; session < 1010; session += 1) {
      const answer = await admission.admit(segment('a', session, 0))
      assert.ok(!answer.admitted)
      delays.push(answer.retryAfterMs)
    }
    assert.ok(delays.every((delay) => delay >= 250 && delay <= 15_000))
    assert.ok((delays[0] ?? 0) <= 500, 'the first in line comes back soon')
    const perSecond = new Map<number, number>()
    for (const delay of delays) {
      const second = Math.floor(delay / 1000)
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
    }
    assert.ok(Math.max(...perSecond.values()) < delays.length / 5, JSON.stringify([...perSecond]))
  })

  test('of a long line only the first have their turn', async (t) => {
    const { admission, admitted, whyNot } = bench(t, { segmentsMax: 100 })
    const first = Array.from({ length: 100 }, (_, n) => segment(`a${String(n)}`, 0, 0, MiB))
    assert.equal((await admitted(first)).length, 100)
    const line = Array.from({ length: lineSeenMax + 1 }, (_, n) => segment(`b${String(n)}`, 0, 0, MiB))
    assert.equal((await admitted(line)).length, 0)
    for (const permit of first) await admission.release(permit)
    const [head, last] = [line[0], line[lineSeenMax]]
    assert.ok(head !== undefined && last !== undefined)
    assert.equal(await whyNot(last), 'line')
    assert.equal(await whyNot(head), undefined)
    assert.equal(await whyNot(last), undefined)
  })

  test('where nobody asks any more, nothing stays', { timeout: 20_000 }, async (t) => {
    const { prefix, admission, admitted } = bench(t, { permitLifeMs: 500, stagedLifeMs: 500 })
    await admitted(many('a', 3))
    await admission.queued(segment('a', 0, 0))
    assert.notEqual((await client.keys(`${prefix}:*`)).length, 0)
    while ((await client.keys(`${prefix}:admission:[^la]*`)).length > 0) await sleep(20)
    for (const key of await client.keys(`${prefix}:*`)) assert.notEqual(await client.pttl(key), -1, key)
  })
})

async function isTaken(answer: Promise<Admitted>): Promise<boolean> {
  try {
    return (await answer).admitted
  } catch (error) {
    assert.ok(error instanceof StrataError && error.code === 'E_REDIS_REFUSES')
    return false
  }
}
