import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { handOverFileBytesMax, sendingsPerSegmentMax } from '@strata/shared/limits.ts'
import { pathOf, protocolHeader, protocolVersion, routes } from '@strata/shared/protocol/routes.ts'
import { until } from '../end-to-end/place.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { hostileSegments } from './hostile-segments.ts'
import { rawConnection, sendPlain, type PlainAnswer } from './plain-http.ts'
import { SecurityBench, type Endpoint } from './security-bench.ts'
import { SmallSession } from './small-session.ts'

const MiB = 1024 * 1024

/** Segments that no agent sends, in requests to the gateway. */
describeWith(redisRequirement, 'hostile segments', () => {
  let bench: SecurityBench
  let hostile: Endpoint
  let honest: Endpoint
  const made: string[] = []
  before(async () => {
    bench = await SecurityBench.start()
    hostile = await bench.enrol(bench.one, 'hostile')
    honest = await bench.enrol(bench.one, 'honest')
  })
  after(() => bench[Symbol.asyncDispose]())

  test('each is refused for what it is, and the session goes on', async () => {
    const session = await SmallSession.open(bench, hostile)
    for (const { title, bytes, code } of hostileSegments) {
      // A segment may be sent only so often.
      const one = await SmallSession.open(bench, hostile)
      const answer = await one.put(0, bytes(one))
      assert.deepEqual([answer.status, answer.code], [422, code], `${title}: ${answer.text}`)
      assert.ok(!answer.text.includes(bench.place.directory.path), answer.text)
    }
    made.push(await session.commit())
  })

  test('one of another session, of another set or of another tenant is refused', async () => {
    const [session, other] = [await SmallSession.open(bench, hostile), await SmallSession.open(bench, honest)]
    const stranger = await SmallSession.open(bench, await bench.enrol(bench.other, 'hostile'))
    const again = await SmallSession.open(bench, hostile)
    for (const foreign of [other, stranger, again]) {
      const answer = await session.put(0, foreign.sealedSegment())
      assert.equal(answer.code, 'E_SEGMENT_INVALID', answer.text)
    }
    // With its own key, and the other's name inside.
    const lying = session.seal(session.plainSegment({ session: other.info.session }))
    assert.equal((await session.put(0, lying)).code, 'E_SEGMENT_INVALID')
  })

  test('a body is as long as it was said to be, and is the one that the token is for', async () => {
    const session = await SmallSession.open(bench, hostile)
    const body = session.sealedSegment()
    const target = pathOf(routes.segment, { ...session.params, segment: '0' })
    const put = async (sent: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<PlainAnswer> =>
      await sendPlain(bench.address, {
        method: 'PUT',
        target,
        body: sent,
        headers: {
          [protocolHeader]: String(protocolVersion),
          'content-type': 'application/octet-stream',
          authorization: await hostile.authorization('PUT', target, body),
          ...headers,
        },
      })
    const flipped = Buffer.from(body)
    flipped[100] = (flipped[100] ?? 0) ^ 1
    for (const other of [flipped, body.subarray(0, -1), Buffer.concat([body, Buffer.of(1)])]) {
      const answer = await put(other)
      assert.deepEqual([answer.status, answer.code], [422, 'E_REQUEST_INVALID'], answer.text)
    }
    const empty = await put(Buffer.alloc(0))
    assert.equal(empty.code, 'E_LIMIT', empty.text)
    for (const type of [
      'application/json',
      'text/plain',
      'multipart/form-data',
      'application/octet-streams',
      'x',
      '',
    ]) {
      assert.equal((await put(body, { 'content-type': type })).code, 'E_REQUEST_INVALID', type)
    }
    assert.equal((await put(body)).status, 204)
  })

  /** The head of a PUT, as somebody writes it who lies about what comes. */
  async function headOf(session: SmallSession, body: Uint8Array, ...lines: readonly string[]): Promise<string> {
    const target = pathOf(routes.segment, { ...session.params, segment: '0' })
    return [
      `PUT ${target} HTTP/1.1`,
      'host: gateway',
      `${protocolHeader}: ${String(protocolVersion)}`,
      'content-type: application/octet-stream',
      `authorization: ${await hostile.authorization('PUT', target, body)}`,
      ...lines,
      '',
      '',
    ].join('\r\n')
  }

  test('a content-length that lies, or is not there, gets no segment in', async () => {
    const session = await SmallSession.open(bench, hostile)
    const body = session.sealedSegment()
    const exchange = async (lines: readonly string[], sent: Uint8Array): Promise<string> => {
      const { socket, ended } = rawConnection(bench.address)
      // Only when there is an answer: what ends before it is given up.
      socket.once('data', () => socket.end())
      socket.write(await headOf(session, body, ...lines))
      socket.write(sent)
      return await ended
    }
    const chunked = Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
    assert.match(await exchange(['transfer-encoding: chunked'], chunked), /^HTTP\/1.1 422 [^]*E_REQUEST_INVALID/)
    assert.match(await exchange([], Buffer.alloc(0)), /^HTTP\/1.1 422 /)
    const shorter = [`content-length: ${String(body.length - 10)}`]
    assert.match(await exchange(shorter, body), /^HTTP\/1.1 (422|400) /)
    const beyond = [`content-length: ${String(handOverFileBytesMax + 1)}`]
    assert.match(await exchange(beyond, body), /^HTTP\/1.1 422 [^]*E_LIMIT/)
    for (const wrong of ['1e9', '0x10', '-1', '99999999999999999999', '1, 1']) {
      // The connection ends at once: the answer may be lost with it.
      assert.match(await exchange([`content-length: ${wrong}`], body), /^(HTTP\/1.1 4[0-9]{2} |$)/, wrong)
    }
    // Longer than what comes: it waits, and when the connection ends nothing of it is left.
    const { socket, ended } = rawConnection(bench.address)
    socket.write(await headOf(session, body, `content-length: ${String(body.length + 10)}`))
    socket.end(body)
    assert.match(await ended, /^(HTTP\/1.1 400 |$)/)
    assert.equal((await session.put(0, body)).status, 204)
  })

  test('nothing of what was not taken stays in the hand-over directory, and nobody is told of a defect', async () => {
    await until(async () => {
      const left = await readdir(bench.place.file('hand-over'), { recursive: true })
      return left.some((name) => name.endsWith('.segment')) ? undefined : true
    })
    assert.doesNotMatch(bench.server.run.messages, /E_BUG| 500 /)
  })

  test('a segment is sent so often and no more, and others go on', async () => {
    const session = await SmallSession.open(bench, hostile)
    for (let sending = 0; sending < sendingsPerSegmentMax; sending += 1) {
      assert.equal((await session.put(0, randomBytes(1000))).code, 'E_SEGMENT_INVALID')
    }
    assert.equal((await session.put(0, session.sealedSegment())).code, 'E_LIMIT')
    for (const segment of ['4194304', '9999999', '00', '-1', '1.5', '1e3', '99999999', 'x', '%00']) {
      const answer = await session.put(0, session.sealedSegment(), { params: { segment } })
      assert.ok([404, 422].includes(answer.status), `${segment}: ${answer.text}`)
    }
    assert.equal((await session.put(4_194_303, session.sealedSegment(4_194_303))).status, 204)
  })

  test('memory stays bounded, whatever comes, and however many at once', async () => {
    const pid = bench.server.run.child.pid ?? 0
    const session = await SmallSession.open(bench, hostile)
    const victim = await SmallSession.open(bench, honest)
    let sent = 0
    const storm = async (requests: number): Promise<void> => {
      const one = async (): Promise<void> => {
        for (let at = 0; at < requests; at += 1) {
          const { bytes } = hostileSegments[sent % hostileSegments.length] ?? { bytes: () => randomBytes(10) }
          sent += 1
          const answer = await session.put(sent, bytes(session))
          assert.ok([422, 429].includes(answer.status), answer.text)
        }
      }
      await Promise.all(Array.from({ length: 8 }, one))
    }
    await storm(10)
    const before = await residentBytes(pid)
    await storm(30)
    // Of the largest that there can be, of nothing in particular.
    const large = randomBytes(handOverFileBytesMax)
    await Promise.all(Array.from({ length: 4 }, (_, at) => session.put(100_000 + at, large)))
    const grown = (await residentBytes(pid)) - before
    assert.ok(grown < 300 * MiB, `${String(Math.round(grown / MiB))} MiB more after ${String(sent)} requests`)
    made.push(await victim.commit())
  })

  test('the service lives, and nothing became visible but what was sent as it should be', async () => {
    await bench.requireAlive()
    assert.deepEqual((await bench.points()).sort(), made.sort())
  })
})

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^VmRSS:\s*([0-9]+) kB$/m.exec(status)?.[1]) * 1024
}
