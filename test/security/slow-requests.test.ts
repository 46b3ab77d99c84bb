import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathOf, protocolHeader, protocolVersion, routes } from '@strata/shared/protocol/routes.ts'
import { filesBelow, until } from '../end-to-end/place.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { rawConnection } from './plain-http.ts'
import { SecurityBench, type Endpoint } from './security-bench.ts'
import { SmallSession } from './small-session.ts'

const MiB = 1024 * 1024

/** In milliseconds, so that the test need not wait as long as a gateway does. */
const limits = {
  gatewayCheckIntervalMs: 100,
  gatewayHeadTimeoutMs: 1000,
  gatewayBodyTimeoutMs: 1500,
  gatewayConnectionTimeoutMs: 2000,
  gatewayRequestTimeoutMs: 4000,
  gatewayCloseMsMax: 1000,
  serverEventsBeatMs: 200,
}
const byteEveryMs = 50

/** Connections that send slowly, or nothing: each is ended in its time, and keeps nobody. */
describeWith(redisRequirement, 'slow requests', () => {
  let bench: SecurityBench
  let endpoint: Endpoint
  before(async () => {
    bench = await SecurityBench.start({ limits })
    endpoint = await bench.enrol(bench.one, 'web1')
  })
  after(() => bench[Symbol.asyncDispose]())

  /** Sends `atOnce`, then a byte of `slowly` now and then, for as long as it may. Gives how long that was. */
  async function lasted(atOnce: string, slowly: string | Uint8Array, everyMs = byteEveryMs): Promise<number> {
    const { socket, ended } = rawConnection(bench.address)
    const over = new AbortController()
    void ended.then(() => {
      over.abort()
    })
    const startedMs = performance.now()
    socket.write(atOnce)
    for (let at = 0; !over.signal.aborted; at += 1) {
      if (everyMs !== Infinity && socket.writable) socket.write(slowly.slice(at, at + 1))
      await sleep(Math.min(everyMs, 100))
      assert.ok(performance.now() - startedMs < 60_000, 'it is never ended')
    }
    return performance.now() - startedMs
  }

  const head = (method: string, target: string, ...lines: readonly string[]): string => {
    const version = `${protocolHeader}: ${String(protocolVersion)}`
    return [`${method} ${target} HTTP/1.1`, 'host: x', version, ...lines, '', ''].join('\r\n')
  }
  const json = 'content-type: application/json'

  test('a head that comes byte by byte', async () => {
    const ms = await lasted('GET ', `${pathOf(routes.health)} HTTP/1.1\r\nx: ${'y'.repeat(10_000)}`)
    assert.ok(ms >= limits.gatewayHeadTimeoutMs && ms < limits.gatewayRequestTimeoutMs, String(ms))
  })

  test('a body that comes byte by byte, from somebody without a token and from an endpoint', async () => {
    const enrolling = head('POST', routes.enrol.path, json, 'content-length: 10000')
    const authorization = await endpoint.authorization('POST', routes.open.path, Buffer.alloc(10_000, ' '))
    const opening = head('POST', routes.open.path, json, 'content-length: 10000', `authorization: ${authorization}`)
    for (const atOnce of [enrolling, opening]) {
      const ms = await lasted(atOnce, ' '.repeat(10_000))
      assert.ok(ms >= limits.gatewayBodyTimeoutMs && ms < limits.gatewayRequestTimeoutMs, String(ms))
    }
  })

  test('a segment that comes byte by byte has all the time of a request, and leaves nothing', async () => {
    const session = await SmallSession.open(bench, endpoint)
    const body = session.sealedSegment()
    const target = pathOf(routes.segment, { ...session.params, segment: '0' })
    const atOnce = head(
      'PUT',
      target,
      'content-type: application/octet-stream',
      `content-length: ${String(body.length)}`,
      `authorization: ${await endpoint.authorization('PUT', target, body)}`,
    )
    const ms = await lasted(atOnce, body)
    assert.ok(ms >= limits.gatewayRequestTimeoutMs - 500, String(ms))
    await until(async () => {
      const left = await filesBelow(bench.place.file('hand-over'))
      return left.some((name) => name.includes('.segment ')) ? undefined : true
    })
    assert.equal(await session.commit(), session.info.session)
  })

  test('nothing at all, from the first byte on or in the middle', async () => {
    for (const atOnce of [
      '',
      'GET /v1/health HTTP/1.1\r\n',
      head('POST', routes.enrol.path, json, 'content-length: 5'),
    ]) {
      const ms = await lasted(atOnce, '', Infinity)
      assert.ok(ms < limits.gatewayRequestTimeoutMs, String(ms))
    }
  })

  test('a thousand idle connections: others are served meanwhile, and memory stays what it was', async () => {
    const pid = bench.server.run.child.pid ?? 0
    const before = await residentBytes(pid)
    const idle = Array.from({ length: 1000 }, () => rawConnection(bench.address))
    await Promise.all(
      idle.map(async ({ socket }) => {
        await new Promise((resolve) => socket.once('connect', resolve))
        socket.write('GET /v1/health HTTP/1.1\r\nhost: x\r\n')
      }),
    )
    const session = await SmallSession.open(bench, endpoint, { setName: 'web1@meanwhile' })
    assert.equal(await session.commit(), session.info.session)
    const grown = (await residentBytes(pid)) - before
    assert.ok(grown < 150 * MiB, `${String(Math.round(grown / MiB))} MiB more`)
    await Promise.all(idle.map(({ ended }) => ended))
    await bench.requireAlive()
  })

  test('many requests over one connection leave nothing behind', async () => {
    const { socket, ended } = rawConnection(bench.address)
    socket.write(head('GET', routes.health.path).repeat(500))
    socket.write(head('GET', routes.health.path, 'connection: close'))
    assert.equal((await ended).match(/HTTP\/1.1 200 OK/g)?.length, 501)
    assert.doesNotMatch(bench.server.run.messages, /MaxListeners/)
  })

  test('they do not keep a service from ending', async () => {
    const { socket, ended } = rawConnection(bench.address)
    const authorization = await endpoint.authorization('POST', routes.open.path)
    socket.write(head('POST', routes.open.path, json, 'content-length: 5', `authorization: ${authorization}`))
    const { socket: other, ended: otherEnded } = rawConnection(bench.address)
    other.write('GET ')
    // Answered after both came: the gateway has them.
    await bench.requireAlive()
    await bench.server.stop()
    await Promise.all([ended, otherEnded])
  })
})

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^VmRSS:\s*([0-9]+) kB$/m.exec(status)?.[1]) * 1024
}
