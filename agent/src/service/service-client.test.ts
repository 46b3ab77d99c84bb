import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { systemClock, systemRandomBytes, type Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { serviceAnswerBytesMax } from '@strata/shared/limits.ts'
import { routes } from '@strata/shared/protocol/routes.ts'
import { closeConnections, openConnections } from '../http/connections.ts'
import { ServiceClient, type ServiceClientOptions } from './service-client.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void

interface Bench {
  readonly client: ServiceClient
  /** How often the service was asked. */
  readonly asked: () => number
  /** Before each further try. */
  readonly waits: (readonly [string, number])[]
  /** The times that tokens were made for. */
  readonly signedMs: number[]
}

/** A client whose pauses pass at once, and a service that answers as it is told. */
async function bench(t: TestContext, answer: Answer, more: Partial<ServiceClientOptions> = {}): Promise<Bench> {
  let count = 0
  const server = createServer((request, response) => {
    count += 1
    answer(request, response, count)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const agents = openConnections({})
  t.after(() => {
    closeConnections(agents)
    server.closeAllConnections()
    server.close()
  })
  let nowMs = 0
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => nowMs,
    sleep: (ms) => {
      nowMs += ms
      return Promise.resolve()
    },
  }
  const waits: (readonly [string, number])[] = []
  const signedMs: number[] = []
  const client = new ServiceClient({
    address: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    agents,
    sign: (_parts, ms) => {
      signedMs.push(ms)
      return Promise.resolve('token')
    },
    clock,
    random: systemRandomBytes,
    onWait: ({ code }, delayMs) => waits.push([code, delayMs]),
    ...more,
  })
  return { client, asked: () => count, waits, signedMs }
}

function say(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

const noPolicy = { policy: null }
const busy = new StrataError('E_SERVICE_BUSY', 'later', { details: { retryAfterMs: 1 } }).toJSON()

test('what the service says is given', async (t) => {
  const { client, asked, waits } = await bench(t, (request, response) => {
    assert.equal(request.headers.authorization, 'Strata token')
    assert.equal(request.headers['strata-protocol'], '1')
    say(response, 200, noPolicy)
  })
  assert.deepEqual(await client.ask(routes.policy), noPolicy)
  assert.deepEqual([asked(), waits], [1, []])
})

test('a service that is away is asked again, whether it answers with an error, with nothing, or a proxy does', async (t) => {
  const { client, asked } = await bench(t, (request, response, count) => {
    if (count === 1) request.socket.destroy()
    else if (count === 2) say(response, 502, '<html>bad gateway</html>')
    else if (count === 3) say(response, 500, '')
    else say(response, 200, noPolicy)
  })
  assert.deepEqual(await client.ask(routes.policy), noPolicy)
  assert.equal(asked(), 4)
})

test('one that stays away is given up, and says for how long', async (t) => {
  const { client, asked, waits } = await bench(t, (_request, response) => {
    say(response, 502, '')
  })
  await assert.rejects(client.ask(routes.policy), {
    code: 'E_SERVICE_UNREACHABLE',
    message: /status 502 \(for \d+ s\)/,
  })
  assert.equal(waits.length, asked() - 1)
  assert.ok(asked() > 5)
})

test('one that says "later" is waited for as long as it says so, and as it says', async (t) => {
  const { client, waits } = await bench(t, (_request, response, count) => {
    if (count <= 40) say(response, 429, busy, { 'retry-after': '60' })
    else say(response, 200, noPolicy)
  })
  assert.deepEqual(await client.ask(routes.policy), noPolicy)
  assert.equal(waits.length, 40)
  for (const [code, delayMs] of waits) assert.ok(code === 'E_SERVICE_BUSY' && delayMs >= 60_000)
})

test('what is refused for good is asked once, with the words of the service', async (t) => {
  const unknown = new StrataError('E_SESSION_UNKNOWN', 'it was given up')
  const { client, asked } = await bench(t, (_request, response) => {
    say(response, 404, unknown.toJSON())
  })
  await assert.rejects(client.ask(routes.policy), { code: 'E_SESSION_UNKNOWN', message: 'it was given up' })
  assert.equal(asked(), 1)
})

test('a code of a newer service is no bug of the agent', async (t) => {
  const { client } = await bench(t, (_request, response) => {
    say(response, 422, { code: 'E_FROM_THE_FUTURE', message: 'you cannot know', hint: 'upgrade' })
  })
  await assert.rejects(client.ask(routes.policy), {
    code: 'E_SERVICE_REFUSED',
    message: /E_FROM_THE_FUTURE: you cannot know/,
  })
})

test('tokens carry the time of the service, once it has told it', async (t) => {
  const aheadMs = 40 * 24 * 3600_000
  const { client, signedMs } = await bench(t, (_request, response, count) => {
    const date = new Date(Date.now() + aheadMs).toUTCString()
    if (count === 1) say(response, 401, new StrataError('E_CLOCK_SKEW', 'what time is it?').toJSON(), { date })
    else say(response, 200, noPolicy, { date })
  })
  await client.ask(routes.policy)
  const [first = 0, second = 0] = signedMs
  assert.ok(Math.abs(second - first - aheadMs) < 10_000)
})

test('two gateways with two times, which are asked in turn: each request comes through', async (t) => {
  const apartMs = 400 * 24 * 3600_000
  const { client, signedMs } = await bench(t, (_request, response, count) => {
    const ownMs = Date.now() - (count % 2) * apartMs
    const date = new Date(ownMs).toUTCString()
    const isIts = Math.abs((signedMs.at(-1) ?? 0) - ownMs) < 60_000
    if (isIts) say(response, 200, noPolicy, { date })
    else say(response, 401, new StrataError('E_CLOCK_SKEW', 'what time is it?').toJSON(), { date })
  })
  for (let request = 1; request <= 4; request += 1) await client.ask(routes.policy)
  assert.ok(signedMs.length <= 12, String(signedMs.length))
})

test('an answer that is none of ours is refused: no JSON, another form, too long, a stranger', async (t) => {
  const answers = ['no JSON', { policy: 'yes' }, 'x'.repeat(serviceAnswerBytesMax + 1)]
  for (const answer of answers) {
    const { client } = await bench(t, (_request, response) => {
      say(response, 200, answer)
    })
    await assert.rejects(client.ask(routes.policy), { code: 'E_SERVICE_ANSWER' })
  }
  const { client } = await bench(t, (_request, response) => {
    say(response, 404, '<html>nginx</html>')
  })
  await assert.rejects(client.ask(routes.policy), { code: 'E_SERVICE_ANSWER', message: /status 404/ })
})

test('an interrupted run waits for nobody', async (t) => {
  const interruption = new AbortController()
  const { client, asked } = await bench(
    t,
    () => {
      interruption.abort(new StrataError('E_INTERRUPTED', 'enough'))
    },
    { signal: interruption.signal },
  )
  await assert.rejects(client.ask(routes.policy), { code: 'E_INTERRUPTED', message: 'enough' })
  await assert.rejects(client.ask(routes.policy), { code: 'E_INTERRUPTED' })
  assert.equal(asked(), 1)
})

test('of a stream of events the last one counts; one that breaks before it has none', async (t) => {
  const { client } = await bench(t, (_request, response, count) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': \n\nevent: progress\ndata: {}\n\n')
    if (count === 1) response.end('event: committed\ndata: {"a": 1}\n\n')
    else response.end()
  })
  const query = { after: 0, attempt: 1 }
  const params = { set: 'a', session: 'b' }
  const isLast = ({ event }: { event: string }): boolean => event === 'committed'
  assert.deepEqual(await client.lastEvent(routes.events, { params, query }, isLast), {
    event: 'committed',
    data: { a: 1 },
  })
  assert.equal(await client.lastEvent(routes.events, { params, query }, isLast), undefined)
})
