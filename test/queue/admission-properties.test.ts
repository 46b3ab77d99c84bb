import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { asId, type SessionId, type TenantId } from '@strata/shared/types.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { Admission, type AdmissionLimits, type Upload } from '@strata/workers/gateway/admission.ts'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { AdmissionModel } from './admission-model.ts'

const MiB = 1024 ** 2
const perSessionMax = 3
const bytesMax = 200 * MiB
const segmentsMax = 14
const limits: Partial<AdmissionLimits> = {
  bytesMax,
  segmentsMax,
  stagedBytesMax: 1024 ** 4,
  segmentsPerSessionMax: perSessionMax,
  retryGraceMs: 600_000,
}

const bytesOf = { of: ({ bytes }: Upload): number => bytes }
const segmentsOf = { of: (): number => 1 }

const upload = (tenant: number, session: number, segment: number, mebibytes: number): Upload => ({
  tenant: asId<TenantId>(String(tenant).padStart(32, 'a')),
  session: asId<SessionId>(`${String(tenant)}${String(session)}`.padStart(32, 'b')),
  segment,
  bytes: mebibytes * MiB,
})

const newcomer = upload(9, 9, 1, 66)

/** What one segment has is always the same. */
const uploads = fc
  .tuple(fc.nat(5), fc.nat(3), fc.nat(7))
  .map(([tenant, session, segment]) => upload(tenant, session, segment, [1, 8, 64, 30][(session + segment) % 4] ?? 1))

type Step = { readonly ask: Upload } | { readonly release: number } | { readonly lose: true }

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 60, arbitrary: uploads.map((ask) => ({ ask })) },
  { weight: 20, arbitrary: fc.nat().map((release) => ({ release })) },
  { weight: 1, arbitrary: fc.constant({ lose: true as const }) },
)

describeWith(redisRequirement, 'admission, with whatever comes and goes', () => {
  let redis: TestRedis
  let client: Redis
  let admission: Admission
  before(async () => {
    redis = await startRedis()
    client = new Redis(redis.url)
    admission = new Admission({ address: { url: redis.url }, prefix: 'random' }, 'ingest', seededRandom('any'), limits)
  })
  after(async () => {
    admission.close()
    client.disconnect()
    await redis.stop()
  })

  async function ask(model: AdmissionModel, wanted: Upload): Promise<boolean> {
    const answer = await admission.admit(wanted)
    assert.equal(answer.admitted ? undefined : answer.reason, model.admit(wanted))
    assert.ok(model.total(bytesOf) <= bytesMax)
    assert.ok(model.total(segmentsOf) <= segmentsMax)
    return answer.admitted
  }

  async function release(model: AdmissionModel, choice: number): Promise<void> {
    const permit = model.permits[choice % model.permits.length]
    if (permit === undefined) return
    model.release(permit)
    await admission.release(permit)
  }

  async function take(model: AdmissionModel, step: Step): Promise<void> {
    if ('ask' in step) await ask(model, step.ask)
    else if ('release' in step) await release(model, step.release)
    else {
      model.lose()
      await client.flushall()
    }
  }

  async function begin(history: readonly Step[]): Promise<AdmissionModel> {
    await client.flushall()
    const model = new AdmissionModel(bytesMax, segmentsMax, perSessionMax)
    for (const step of history) await take(model, step)
    return model
  }

  test('Redis decides as the model does, and what it counts is what the permits have', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 20, maxLength: 150 }), async (history) => {
        const model = await begin(history)
        const held = await client.hgetall('random:admission:held')
        assert.equal(Number(held['bytes'] ?? 0), model.total(bytesOf))
        assert.equal(Number(held['staged'] ?? 0), model.total(bytesOf))
        assert.equal(Number(held['segments'] ?? 0), model.total(segmentsOf))
        while (model.permits.length > 0) await release(model, 0)
        assert.deepEqual(Object.keys(await client.hgetall('random:admission:held')), 'turn' in held ? ['turn'] : [])
      }),
      { numRuns: 60 },
    )
  })

  test('who has nothing in flight is admitted after a bounded number of releases, whatever the others do', async () => {
    const round = fc.record({ choice: fc.nat(), asks: fc.array(uploads, { maxLength: 12 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(uploads, { minLength: 40, maxLength: 120 }),
        fc.array(round, { minLength: 40, maxLength: 40 }),
        async (history, rounds) => {
          const model = await begin(history.map((wanted) => ({ ask: wanted })))
          const releasesMax = model.permits.length + model.waitingTenants.length
          let releases = 0
          for (; !(await ask(model, newcomer)); releases += 1) {
            const { choice = 0, asks = [] } = rounds[releases % rounds.length] ?? {}
            await release(model, choice)
            // Those before the newcomer come back as well: who does not loses its place after a while.
            for (const wanted of [...firstInLine(model), ...asks]) await ask(model, wanted)
          }
          assert.ok(releases <= releasesMax, `${String(releases)} releases, not ${String(releasesMax)} at most`)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('with n tenants that never pause each comes to hold a part of n + 1, and so does the next one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(), { minLength: 60 }), async (hogs, choices) => {
        const model = await begin([])
        const everyone = Array.from({ length: hogs + 1 }, (_, tenant) => tenant)
        const askAll = async (tenants: readonly number[]): Promise<void> => {
          for (const tenant of tenants) await takeAll(model, tenant)
        }
        await askAll(everyone.slice(0, hogs))
        // Everything that is held when the last one comes is released, and as much again.
        for (let turn = 0; turn < 2 * segmentsMax; turn += 1) {
          await release(model, choices[turn % choices.length] ?? 0)
          await askAll(everyone)
        }
        const share = Math.floor(segmentsMax / (hogs + 2))
        for (const tenant of everyone) {
          const holds = model.ofTenant(upload(tenant, 0, 0, 1).tenant).length
          assert.ok(Math.abs(holds - share) <= 1, `${String(holds)} of ${String(share)}`)
        }
      }),
      { numRuns: 20 },
    )
  })

  /** Small segments, so that it is their number that counts. Sessions that wait come back before others ask. */
  async function takeAll(model: AdmissionModel, tenant: number): Promise<void> {
    const isMine = (wanted: Upload): boolean => wanted.tenant === upload(tenant, 0, 0, 1).tenant
    for (const waiting of model.waitingSessions.filter(isMine)) await ask(model, waiting)
    for (let next = 0, isAdmitted = true; isAdmitted; next += 1) {
      isAdmitted = await ask(model, upload(tenant, Math.floor(next / perSessionMax), next % perSessionMax, 1))
    }
  }

  /** What the tenants that wait longer than the newcomer want next. */
  function firstInLine(model: AdmissionModel): Upload[] {
    return model.waitingTenants
      .slice(0, model.waitingTenants.indexOf(newcomer.tenant))
      .flatMap((tenant) => model.waitingSessions.find((waiting) => waiting.tenant === tenant) ?? [])
  }
})
