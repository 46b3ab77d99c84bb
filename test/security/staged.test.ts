import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { routes } from '@strata/shared/protocol/routes.ts'
import type { UploadAnswer } from '@strata/shared/protocol/wire.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { cephRgwRequirement, startCephRgw, type CephRgw } from '../servers/ceph-rgw.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { sendPlain as sendTo } from '../staging/staging-server.ts'
import { hostileSegments } from './hostile-segments.ts'
import { sha256, type PlainAnswer } from './plain-http.ts'
import { SecurityBench, type Endpoint } from './security-bench.ts'
import { SmallSession } from './small-session.ts'

type Grant = Extract<UploadAnswer, { to: 'staging' }>

const both = {
  name: `${cephRgwRequirement.name} and ${redisRequirement.name}`,
  programs: [...cephRgwRequirement.programs, ...redisRequirement.programs],
  remedy: `${cephRgwRequirement.remedy}; ${redisRequirement.remedy}`,
}

/** Segments by way of the staging area, and what the grant for one is good for: itself. */
describeWith(both, 'hostile segments in staging', () => {
  let rgw: CephRgw
  let bench: SecurityBench
  let area: ObjectStore
  let hostile: Endpoint
  const made: string[] = []
  before(async () => {
    rgw = await startCephRgw()
    await rgw.createBucket('staging')
    const url = rgw.storeUrl('staging')
    bench = await SecurityBench.start({ args: ['--staging', url], env: rgw.env })
    area = await openStore(url, { env: rgw.env, clock: systemClock, randomBytes: systemRandomBytes })
    hostile = await bench.enrol(bench.one, 'hostile')
  })
  after(async () => {
    await area.close()
    await bench[Symbol.asyncDispose]()
    await rgw.stop()
  })

  async function grantFor(session: SmallSession, segment: number, body: Uint8Array): Promise<Grant> {
    const asked = { params: { segment: String(segment) }, body: { bytes: body.length, sha256: sha256(body) } }
    const answer = await session.ask(routes.upload, asked)
    assert.equal(answer.status, 200, answer.text)
    return JSON.parse(answer.text) as Grant
  }

  async function staged(
    session: SmallSession,
    segment: number,
    body: Uint8Array,
    attempt: string,
  ): Promise<PlainAnswer> {
    const what = { bytes: body.length, sha256: sha256(body), attempt }
    return await session.ask(routes.staged, { params: { segment: String(segment) }, body: what })
  }

  async function upload(session: SmallSession, segment: number, body: Uint8Array): Promise<void> {
    const grant = await grantFor(session, segment, body)
    assert.equal((await sendTo({ url: grant.url, headers: grant.headers, body })).status, 200)
    const answer = await staged(session, segment, body, grant.attempt)
    assert.equal(answer.status, 204, answer.text)
  }

  async function ended(
    session: SmallSession,
    segments: number,
    attempt = 1,
  ): Promise<{ event: string; code: unknown }> {
    const body = session.endBody({ segments, attempt })
    assert.equal((await session.ask(routes.end, { body })).status, 202)
    const { event, data } = await session.outcome(attempt)
    return { event, code: data['code'] }
  }

  async function stagedNames(): Promise<string[]> {
    return (await Array.fromAsync(area.list(''))).map(({ name }) => name)
  }

  test('each is removed and missing at the end, and sent as it should be it becomes a point', async () => {
    // A few of each kind: what the worker does with them is the same as with those that come through the gateway.
    for (const { title, bytes } of hostileSegments.filter((_, at) => at % 5 === 0)) {
      const session = await SmallSession.open(bench, hostile)
      await upload(session, 0, bytes(session))
      assert.deepEqual(await ended(session, 1), { event: 'failed', code: 'E_SEGMENTS_MISSING' }, title)
      const left = await stagedNames()
      assert.ok(!left.some((name) => name.includes(session.info.session)), title)
    }
    const session = await SmallSession.open(bench, hostile)
    await upload(session, 0, randomBytes(1000))
    assert.equal((await ended(session, 1)).code, 'E_SEGMENTS_MISSING')
    await upload(session, 0, session.sealedSegment())
    assert.equal((await ended(session, 1, 2)).event, 'committed')
    made.push(session.info.session)
  })

  test('a bad one beside a good one harms nothing', async () => {
    const session = await SmallSession.open(bench, hostile)
    await upload(session, 0, session.sealedSegment())
    await upload(session, 0, randomBytes(100_000))
    assert.equal((await ended(session, 1)).event, 'committed')
    made.push(session.info.session)
  })

  test('only what lies there as it was announced is acknowledged', async () => {
    const session = await SmallSession.open(bench, hostile)
    const other = await SmallSession.open(bench, await bench.enrol(bench.one, 'other'))
    const body = session.sealedSegment()
    const refused = async (answer: Promise<PlainAnswer>): Promise<void> => {
      const { status, code, text } = await answer
      assert.deepEqual([status, code], [422, 'E_HANDOVER_LOST'], text)
    }
    const grant = await grantFor(session, 0, body)
    await refused(staged(session, 0, body, grant.attempt))
    assert.equal((await sendTo({ url: grant.url, headers: grant.headers, body })).status, 200)
    await refused(staged(session, 0, body, 'f'.repeat(16)))
    await refused(staged(session, 1, body, grant.attempt))
    await refused(staged(session, 0, body.subarray(1), grant.attempt))
    await refused(staged(other, 0, body, grant.attempt))
    assert.equal((await session.put(0, body)).code, 'E_REQUEST_INVALID')
    for (const segment of ['4194304', '9999999']) {
      const what = { bytes: 1000, sha256: '0'.repeat(64) }
      assert.equal((await session.ask(routes.upload, { params: { segment }, body: what })).code, 'E_LIMIT')
    }
    assert.equal((await staged(session, 0, body, grant.attempt)).status, 204)
  })

  test('a grant puts its own segment there, once, and does nothing else', async () => {
    const session = await SmallSession.open(bench, hostile)
    const victim = await SmallSession.open(bench, await bench.enrol(bench.one, 'victim'))
    const stranger = await SmallSession.open(bench, await bench.enrol(bench.other, 'victim'))
    const body = session.sealedSegment()
    const { url, headers } = await grantFor(session, 0, body)
    const shorter = { ...headers, 'content-length': String(body.length - 1) }
    const attempts = [
      { url, headers: shorter, body: body.subarray(1) },
      { url: url.replace(session.info.session, victim.info.session), headers, body },
      { url: url.replace(session.info.set, victim.info.set), headers, body },
      { url: url.replace(bench.one.repository.tenant, stranger.endpoint.tenant), headers, body },
      { url: url.replace('/staging/', '/other/'), headers, body },
      ...Object.keys(headers)
        .filter((name) => name !== 'content-length')
        .map((left) => ({
          url,
          headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name !== left)),
          body,
        })),
      { url, method: 'GET' },
      { url, method: 'HEAD' },
      { url, method: 'DELETE' },
      { url, method: 'POST', headers, body },
      { url: `${new URL(url).origin}/staging?list-type=2&${new URL(url).searchParams.toString()}`, method: 'GET' },
      { url: `${url}&tagging`, headers, body },
      { url: `${url}&acl`, headers, body },
    ]
    for (const attempt of attempts) {
      const { status } = await sendTo(attempt)
      assert.ok(status >= 400 && status < 500, `${attempt.method ?? 'PUT'} ${attempt.url}: ${String(status)}`)
    }
    assert.deepEqual(
      (await stagedNames()).filter((name) => name.includes(session.info.session)),
      [],
    )
    assert.equal((await sendTo({ url, headers, body })).status, 200)
    // Neither over what is there, nor to look at it, nor to take it away.
    for (const again of [
      { url, headers, body },
      { url, method: 'GET' },
      { url, method: 'DELETE' },
    ]) {
      assert.ok((await sendTo(again)).status >= 400)
    }
    assert.equal((await stagedNames()).filter((name) => name.includes(session.info.session)).length, 1)
  })

  test('the service lives, others go on, and nothing else became visible', async () => {
    await bench.requireAlive()
    assert.doesNotMatch(bench.server.run.messages, /E_BUG| 50[0-9] /)
    const honest = await SmallSession.open(bench, await bench.enrol(bench.one, 'honest'))
    await upload(honest, 0, honest.sealedSegment())
    assert.equal((await ended(honest, 1)).event, 'committed')
    assert.deepEqual((await bench.points()).sort(), [...made, honest.info.session].sort())
  })
})
