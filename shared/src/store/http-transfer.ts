import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { Readable } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { storeConnectTimeoutMs, storeRequestsInFlightMax, uploadPieceBytesMax } from '../limits.ts'

/** What the two cloud stores share in moving bytes: connections, limits on requests under way and on idleness. */

/** Lets `storeRequestsInFlightMax` requests run and the others wait in order, so that none waits inside an agent. */
export class RequestGate {
  #free = storeRequestsInFlightMax
  readonly #waiting: (() => void)[] = []

  async run<Result>(request: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await request()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }
}

/** The request was given up because nothing moved for too long. */
export class IdleError extends Error {
  override readonly name = 'IdleError'
}

/**
 * Runs a request that is aborted when `progress` has not been called for `idleMs`. A limit on the whole duration would
 * either be too long for a dead server or too short for a large object on a slow link.
 */
export async function withIdleLimit<Result>(
  idleMs: number,
  request: (signal: AbortSignal, progress: () => void) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort()
  }, idleMs)
  try {
    return await request(controller.signal, () => timer.refresh())
  } catch (error) {
    if (!controller.signal.aborted) throw error
    throw new IdleError(`nothing was sent or received for ${String(idleMs / 1000)} s`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** The parts as a stream of pieces small enough that their leaving shows progress. Nothing is copied. */
export function uploadStream(parts: readonly Uint8Array[], progress: () => void): Readable {
  return Readable.from(pieces(parts, progress), { objectMode: false })
}

function* pieces(parts: readonly Uint8Array[], progress: () => void): Generator<Uint8Array> {
  for (const part of parts) {
    for (let offset = 0; offset < part.byteLength; offset += uploadPieceBytesMax) {
      progress()
      yield part.subarray(offset, offset + uploadPieceBytesMax)
    }
  }
}

/** The body ended too early or went on too long; the connection is of no further use. */
export class BodyLengthError extends Error {
  override readonly name = 'BodyLengthError'
}

/** Reads exactly `length` bytes, or to the end where the length was not announced. */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  length: number | undefined,
  progress: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let received = 0
  for await (const chunk of body) {
    progress()
    received += chunk.byteLength
    if (length !== undefined && received > length) break
    chunks.push(chunk)
  }
  if (length !== undefined && received !== length) {
    const relation = received > length ? 'more than' : `${String(received)} of`
    throw new BodyLengthError(`the answer had ${relation} the ${String(length)} bytes announced`)
  }
  const bytes = Buffer.allocUnsafeSlow(received)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return new Uint8Array(bytes.buffer)
}

export interface HttpAgents {
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

export interface HttpAgentOptions {
  /** What servers' certificates are checked with, in place of the usual; asked for once, with the first that has one. */
  readonly trust?: () => SecureContext
  /** As in the environment: which proxy for which requests. */
  readonly proxyEnv?: { readonly HTTP_PROXY: string; readonly HTTPS_PROXY: string }
}

/** Connections are kept for the next request. One that cannot be made within `storeConnectTimeoutMs` is given up. */
export function httpAgents({ trust, proxyEnv }: HttpAgentOptions = {}): HttpAgents {
  const options = {
    keepAlive: true,
    maxSockets: storeRequestsInFlightMax,
    ...(proxyEnv === undefined ? {} : { proxyEnv }),
  }
  const https = withConnectLimit(new HttpsAgent(options))
  return { http: withConnectLimit(new HttpAgent(options)), https: trust === undefined ? https : trusting(https, trust) }
}

function trusting(agent: HttpsAgent, trust: () => SecureContext): HttpsAgent {
  let context: SecureContext | undefined
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    // One for all: it takes a tenth of a second to read some hundred certificates.
    context ??= trust()
    const trusted = { ...options, secureContext: context }
    return connect(trusted, callback)
  }
  return agent
}

function withConnectLimit<Kind extends HttpAgent>(agent: Kind): Kind {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    const socket = connect(options, callback)
    if (socket === null || socket === undefined) return socket
    const timer = setTimeout(() => {
      const seconds = String(storeConnectTimeoutMs / 1000)
      socket.destroy(Object.assign(new Error(`no connection within ${seconds} s`), { code: 'ETIMEDOUT' }))
    }, storeConnectTimeoutMs)
    const stop = (): void => {
      clearTimeout(timer)
    }
    socket.once('connect', stop).once('close', stop)
    return socket
  }
  return agent
}
