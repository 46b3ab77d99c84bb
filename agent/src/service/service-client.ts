import type { IncomingMessage } from 'node:http'
import { digestOfBody } from '@strata/shared/protocol/request-token.ts'
import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { hasCode, StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { misfit, type Fitting, type Schema } from '@strata/shared/format/schema.ts'
import { serviceAnswerBytesMax, serviceIdleTimeoutMs, serviceOutageMsMax } from '@strata/shared/limits.ts'
import { pathOf, protocolHeader, protocolVersion, type AnswerOf, type Route } from '@strata/shared/protocol/routes.ts'
import { withIdleLimit, type HttpAgents } from '@strata/shared/store/http-transfer.ts'
import { exchange } from '../http/exchange.ts'
import { filePieces } from '../http/file-pieces.ts'
import { errorOfAnswer, refusedByProxy, retryAfterMs } from './answers.ts'
import { isOfCertificate } from './certificate-errors.ts'
import { Patience } from './patience.ts'
import { readEvents, type ServerEvent } from './server-events.ts'

/** What a request is signed for. */
export interface SignedParts {
  readonly method: string
  /** Path and query below the service's address. */
  readonly target: string
  readonly bodyDigest: Uint8Array
}

export interface ServiceClientOptions {
  /** Address of the service, without a slash at its end. */
  readonly address: string
  readonly agents: HttpAgents
  /** Gives the value of the Authorization header, made anew for each try. `nowMs` is the service's time. */
  readonly sign: (parts: SignedParts, nowMs: number) => Promise<string>
  readonly clock: Clock
  readonly random: RandomBytes
  /** Once aborted, nothing is waited for, nor tried again. */
  readonly signal?: AbortSignal | undefined
  /** Told why it waits, and for how long, before each further try. */
  readonly onWait?: ((error: StrataError, delayMs: number) => void) | undefined
  readonly outageMsMax?: number
}

export interface Asked {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number>>
  readonly body?: unknown
}

export interface SentFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: Uint8Array
}

type Body = Uint8Array | SentFile | undefined
type Read<Result> = (response: IncomingMessage, progress: () => void) => Promise<Result>

/**
 * Asks the service, over HTTP. What fails on its way, or is told to wait, is tried again until the service has been away
 * for too long; every request may be repeated, each time with a token of its own.
 *
 * Errors: E_SERVICE_UNREACHABLE, E_SERVICE_CERTIFICATE, E_SERVICE_PROXY, E_SERVICE_BUSY, E_SERVICE_ANSWER, E_INTERRUPTED, and those that
 * the service tells.
 */
export class ServiceClient {
  readonly #options: ServiceClientOptions
  /** How far the service's clock is ahead of ours: tokens carry its time, for an endpoint's clock may be wrong. */
  #aheadMs = 0

  constructor(options: ServiceClientOptions) {
    this.#options = options
  }

  async ask<R extends Route>(route: R, asked: Asked = {}): Promise<AnswerOf<R>> {
    const { answer } = route
    return await this.patiently(
      async () =>
        await this.#request(route, asked, jsonOf(asked.body), async (response, progress) => {
          const body = await bodyOf(route, response, progress)
          return (typeof answer === 'string' ? undefined : parsed(route, body, answer)) as AnswerOf<R>
        }),
    )
  }

  async askBytes(route: Route, asked: Asked = {}): Promise<Uint8Array> {
    return await this.patiently(
      async () =>
        await this.#request(route, asked, undefined, async (response, progress) => {
          return new Uint8Array(await bodyOf(route, response, progress))
        }),
    )
  }

  /** Sends a file as the body; once only: whether to send it again is for the caller, who asks for leave first. */
  async sendFile(route: Route, asked: Asked, file: SentFile): Promise<void> {
    await this.#request(route, asked, file, async (response, progress) => await bodyOf(route, response, progress))
  }

  /** Server-sent events, until one is the last (`isLast`), or the stream ends or breaks (undefined). Asked for once. */
  async lastEvent(
    route: Route,
    asked: Asked,
    isLast: (event: ServerEvent) => boolean,
  ): Promise<ServerEvent | undefined> {
    return await this.#request(route, asked, undefined, async (response, progress) => {
      for await (const event of readEvents(response, progress)) if (isLast(event)) return event
      return undefined
    })
  }

  /** Does it until it works, is refused for good, or has failed for too long. */
  async patiently<Result>(attempt: () => Promise<Result>): Promise<Result> {
    const patience = new Patience({ ...this.#options, outageMsMax: this.#options.outageMsMax ?? serviceOutageMsMax })
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        await patience.after(error)
      }
    }
  }

  async #request<Result>(route: Route, asked: Asked, body: Body, read: Read<Result>): Promise<Result> {
    try {
      return await this.#once(route, asked, body, read)
    } catch (error) {
      requireAboutTime(error)
    }
    // The answer told the service's time: a second token is right, or the clock is not what is wrong.
    const toldMs = this.#aheadMs
    try {
      return await this.#once(route, asked, body, read)
    } catch (error) {
      requireAboutTime(error)
    }
    // Or there are two gateways with two times, and requests go to each in turn.
    this.#aheadMs = toldMs
    return await this.#once(route, asked, body, read)
  }

  async #once<Result>(route: Route, { params, query }: Asked, body: Body, read: Read<Result>): Promise<Result> {
    const { address, agents, signal } = this.#options
    this.#stopIfAborted()
    const target = pathOf(route, params, query)
    const headers = await this.#headers(route, target, body)
    try {
      return await withIdleLimit(serviceIdleTimeoutMs, async (idle, progress) => {
        const either = signal === undefined ? idle : AbortSignal.any([idle, signal])
        const pieces = body === undefined || body instanceof Uint8Array ? [body ?? noBytes] : filePieces(body, progress)
        const request = { url: new URL(address + target), method: route.method, headers, agents, signal: either }
        return await exchange({ ...request, body: pieces }, async (response) => {
          this.#noteTime(response)
          if (response.statusCode === route.status) return await read(response, progress)
          const { headers: answered, statusCode = 0 } = response
          const waitMs = retryAfterMs(answered['retry-after'])
          throw errorOfAnswer(what(route), statusCode, await bodyOf(route, response, progress), waitMs)
        })
      })
    } catch (error) {
      throw this.#failure(route, error)
    }
  }

  async #headers(route: Route, target: string, body: Body): Promise<Record<string, string>> {
    const { sign, clock } = this.#options
    const headers: Record<string, string> = { [protocolHeader]: String(protocolVersion) }
    if (route.who === 'endpoint') {
      const bodyDigest = body !== undefined && 'path' in body ? body.sha256 : digestOfBody(body ?? noBytes)
      headers['authorization'] =
        `Strata ${await sign({ method: route.method, target, bodyDigest }, clock.nowMs() + this.#aheadMs)}`
    }
    if (body === undefined) return headers
    headers['content-type'] = route.body === 'segment' ? 'application/octet-stream' : 'application/json'
    headers['content-length'] = String('path' in body ? body.bytes : body.length)
    return headers
  }

  #stopIfAborted(): void {
    const { signal } = this.#options
    if (signal?.aborted !== true) return
    const reason: unknown = signal.reason
    throw reason instanceof StrataError ? reason : new StrataError('E_INTERRUPTED', 'interrupted', { cause: reason })
  }

  #failure(route: Route, error: unknown): StrataError {
    if (error instanceof StrataError) return error
    this.#stopIfAborted()
    const reason = systemErrorCode(error) ?? (error instanceof Error ? error.message : String(error))
    if (isOfCertificate(reason)) {
      const message = `${what(route)}: the certificate of ${this.#options.address} is not trusted (${reason})`
      return new StrataError('E_SERVICE_CERTIFICATE', message, { cause: error })
    }
    // Of its answer to CONNECT.
    const { statusCode } = error as { statusCode?: number }
    if (reason === 'ERR_PROXY_TUNNEL' && statusCode !== undefined && statusCode < 500) {
      return refusedByProxy(what(route), statusCode, error)
    }
    const message = `${what(route)}: ${this.#options.address} does not answer (${reason})`
    return new StrataError('E_SERVICE_UNREACHABLE', message, { cause: error })
  }

  #noteTime({ headers }: IncomingMessage): void {
    const serviceMs = Date.parse(headers.date ?? '')
    if (Number.isNaN(serviceMs)) return
    const aheadMs = serviceMs - this.#options.clock.nowMs()
    // A Date header has whole seconds, and the answer was on its way: less than that is no difference.
    this.#aheadMs = Math.abs(aheadMs) < clockDifferenceMsMin ? 0 : aheadMs
  }
}

const clockDifferenceMsMin = 5000

function requireAboutTime(error: unknown): void {
  if (!hasCode(error, 'E_CLOCK_SKEW', 'E_TOKEN_EXPIRED')) throw error
}

const noBytes = new Uint8Array()

function jsonOf(body: unknown): Uint8Array | undefined {
  return body === undefined ? undefined : Buffer.from(JSON.stringify(body), 'utf8')
}

function what(route: Route): string {
  return `${route.method} ${route.path}`
}

function parsed<S extends Schema>(route: Route, text: Buffer, schema: S): Fitting<S> {
  let value: unknown
  try {
    value = JSON.parse(text.toString('utf8'))
  } catch (error) {
    throw new StrataError('E_SERVICE_ANSWER', `${what(route)}: the answer is no JSON`, { cause: error })
  }
  const problem = misfit(schema, value)
  if (problem !== undefined) throw new StrataError('E_SERVICE_ANSWER', `${what(route)}: in the answer, ${problem}`)
  return value
}

async function bodyOf(route: Route, response: IncomingMessage, progress: () => void): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    progress()
    bytes += chunk.length
    if (bytes > serviceAnswerBytesMax) {
      const most = String(serviceAnswerBytesMax)
      throw new StrataError('E_SERVICE_ANSWER', `${what(route)}: an answer of more than ${most} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
