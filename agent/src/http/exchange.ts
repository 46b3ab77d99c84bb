import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { HttpAgents } from '@strata/shared/store/http-transfer.ts'

export interface HttpRequest {
  readonly url: URL
  readonly method: string
  /** With the content-length of the body, if there is one. */
  readonly headers: Readonly<Record<string, string>>
  /** Written no faster than the connection takes it. */
  readonly body?: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined
  readonly agents: HttpAgents
  readonly signal: AbortSignal
}

/**
 * Sends a request and gives to `read` what comes back, which may be before the whole body has gone. node:http rather than
 * fetch: its connections come from agents, which is where a proxy and certificates of one's own are set.
 */
export async function exchange<Result>(
  { url, method, headers, body = [], agents, signal }: HttpRequest,
  read: (response: IncomingMessage) => Promise<Result>,
): Promise<Result> {
  const options = { method, headers, signal }
  const request =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...options, agent: agents.https })
      : httpRequest(url, { ...options, agent: agents.http })
  const answered = new Promise<Result>((resolve, reject) => {
    // More than once: what happens to the connection after the answer is of no interest any more.
    request.on('error', reject)
    request.once('response', (response) => {
      read(response).then(resolve, reject)
    })
  })
  let leftBytes = Number(headers['content-length'] ?? 0)
  const sent = sendBody(request, body, (bytes) => (leftBytes -= bytes)).catch((error: unknown) => {
    // A body that cannot be read ends the request with that error, unless an answer has come already.
    request.destroy(error as Error)
  })
  try {
    return await answered
  } finally {
    if (leftBytes === 0) {
      // The answer to the whole body may be here before it is known that nothing comes after it, and that it has gone.
      await sent
      await nextTurn()
    }
    // Refused before all of it has gone: the rest is not sent, and nobody else gets this connection.
    if (!request.writableFinished) request.destroy()
    await sent
  }
}

/** `onTaken` hears how much the connection has taken. Not with `pipeline`, which waits for ever for a request that was ended before it began. */
async function sendBody(
  request: ClientRequest,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  onTaken: (bytes: number) => void,
): Promise<void> {
  for await (const piece of body) {
    if (request.destroyed) return
    if (!request.write(piece)) await drained(request)
    onTaken(piece.length)
  }
  request.end()
}

async function drained(request: ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      request.off('drain', done).off('close', done)
      resolve()
    }
    request.on('drain', done).on('close', done)
    if (request.closed) done()
  })
}
