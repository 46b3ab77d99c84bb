import { open, type FileHandle } from 'node:fs/promises'
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { storeRequestTimeoutMs, uploadAnswerBytesMax, uploadPieceBytesMax } from '@strata/shared/limits.ts'
import type { UploadGrant } from '@strata/shared/staging/staging-area.ts'
import { httpError } from '@strata/shared/store/http-errors.ts'
import { withIdleLimit, type HttpAgents } from '@strata/shared/store/http-transfer.ts'

/**
 * Puts a sealed segment where a grant says, over plain HTTP: the agent needs no SDK and has no credentials.
 *
 * One attempt; nothing is tried twice here. Whatever comes out but `done`, the gateway looks whether the segment is
 * there before it gives another grant: an answer may have been lost, and some stores say 403 where an object exists.
 *
 * node:http rather than fetch: its connections come from agents, which is where a proxy and certificates of one's own
 * are set, and it writes no faster than the connection takes.
 */
export type UploadOutcome =
  /** The store has the whole object. */
  | { readonly kind: 'done' }
  /** Something is there under this name, most likely from an attempt whose answer was lost. Nothing was changed. */
  | { readonly kind: 'present' }
  /** The grant has expired, or is not for this upload: another one is needed. `error` says what the store said. */
  | { readonly kind: 'refused'; readonly error: StrataError }

export interface UploadedFile {
  readonly path: string
  readonly bytes: number
}

export interface UploadOptions {
  readonly agents: HttpAgents
  /** Ends the upload; its reason is thrown. */
  readonly signal?: AbortSignal | undefined
  /** ms without a byte sent or received after which the upload is given up */
  readonly idleMs?: number | undefined
}

/**
 * Errors: E_STORE_UNREACHABLE, E_STORE_BUSY and other transient ones: the outcome is unknown, and another attempt may
 * help. E_HANDOVER_IO: the file cannot be read, or has other than `bytes` bytes. E_STORE_MISSING, E_STORE_FULL,
 * E_STORE_PROTOCOL and other permanent ones: staging is not as it should be. None of them has the URL's query in it.
 */
export async function uploadFile(
  grant: UploadGrant,
  file: UploadedFile,
  options: UploadOptions,
): Promise<UploadOutcome> {
  const url = urlOf(grant)
  const doing = `sending a segment to ${url.host}`
  const { signal, idleMs = storeRequestTimeoutMs } = options
  const handle = await openFile(file)
  try {
    const answer = await withIdleLimit(idleMs, async (idle, progress) => {
      const either = signal === undefined ? idle : AbortSignal.any([idle, signal])
      const request = startRequest(url, grant, file.bytes, options.agents, either)
      return await exchange(request, pieces(handle, file, progress), progress)
    })
    return outcomeOf(answer, doing)
  } catch (error) {
    signal?.throwIfAborted()
    throw httpError(error, { status: undefined, code: undefined, requestId: undefined }, doing)
  } finally {
    await handle.close()
  }
}

/** What `URL` throws would quote the whole of it. */
function urlOf(grant: UploadGrant): URL {
  const url = URL.canParse(grant.url) ? new URL(grant.url) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw new StrataError('E_STORE_PROTOCOL', 'a grant for an upload does not say where to send it')
}

function startRequest(
  url: URL,
  grant: UploadGrant,
  bytes: number,
  agents: HttpAgents,
  signal: AbortSignal,
): ClientRequest {
  // The length is that of the file, whatever was signed: if they differ the store refuses it.
  const headers = { ...grant.headers, 'content-length': String(bytes) }
  const options = { method: grant.method, headers, signal }
  return url.protocol === 'https:'
    ? httpsRequest(url, { ...options, agent: agents.https })
    : httpRequest(url, { ...options, agent: agents.http })
}

// ── the file ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function openFile({ path, bytes }: UploadedFile): Promise<FileHandle> {
  const handle = await reading(path, async () => await open(path))
  try {
    const { size } = await reading(path, async () => await handle.stat())
    if (size !== bytes) throw fileError(path, `it has ${String(size)} bytes, not ${String(bytes)}`)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function* pieces(
  handle: FileHandle,
  { path, bytes }: UploadedFile,
  progress: () => void,
): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < bytes;) {
    const length = Math.min(uploadPieceBytesMax, bytes - sent)
    const buffer = Buffer.allocUnsafe(length)
    const { bytesRead } = await reading(path, async () => await handle.read(buffer, 0, length, sent))
    if (bytesRead === 0) throw fileError(path, `it ended after ${String(sent)} of ${String(bytes)} bytes`)
    sent += bytesRead
    yield buffer.subarray(0, bytesRead)
    // The connection has asked for more.
    progress()
  }
}

async function reading<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read()
  } catch (error) {
    throw fileError(path, systemErrorCode(error) ?? String(error), error)
  }
}

function fileError(path: string, why: string, cause?: unknown): StrataError {
  return new StrataError('E_HANDOVER_IO', `the segment in ${path} cannot be sent: ${why}`, { cause })
}

// ── the answer ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Answer {
  readonly status: number
  /** The store's name for the error. */
  readonly code: string | undefined
  readonly requestId: string | undefined
}

/** Sends the body and resolves with the answer, which may come before the whole body has gone. */
async function exchange(
  request: ClientRequest,
  body: AsyncIterable<Uint8Array>,
  progress: () => void,
): Promise<Answer> {
  const answered = new Promise<Answer>((resolve, reject) => {
    // More than once: what happens to the connection after the answer is of no interest any more.
    request.on('error', reject)
    request.once('response', (response) => {
      readAnswer(response, progress).then(resolve, reject)
    })
  })
  const sent = sendBody(request, body).catch((error: unknown) => {
    // A body that cannot be read ends the request with that error, unless an answer has come already.
    request.destroy(error as Error)
  })
  try {
    return await answered
  } finally {
    // Refused before all of it has gone: the rest is not sent, and nobody else gets this connection.
    if (!request.writableFinished) request.destroy()
    await sent
  }
}

/** Not with `pipeline`, which waits for ever for a request that was ended before it began. */
async function sendBody(request: ClientRequest, body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of body) {
    if (request.destroyed) return
    if (!request.write(piece)) await drained(request)
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

async function readAnswer(response: IncomingMessage, progress: () => void): Promise<Answer> {
  const { statusCode: status = 0, headers } = response
  const codeHeader = headers['x-ms-error-code']
  const body = await readText(response, progress)
  return {
    status,
    code: typeof codeHeader === 'string' ? codeHeader : errorCodeIn(body),
    requestId: [headers['x-amz-request-id'], headers['x-ms-request-id']].find((id) => typeof id === 'string'),
  }
}

async function readText(response: IncomingMessage, progress: () => void): Promise<string> {
  let text = ''
  response.setEncoding('latin1')
  for await (const chunk of response as AsyncIterable<string>) {
    progress()
    text += chunk
    // Leaving the loop closes the connection.
    if (text.length > uploadAnswerBytesMax) break
  }
  return text
}

/** Nothing but the code is taken from an error's XML: the rest may repeat what was signed. */
function errorCodeIn(text: string): string | undefined {
  return /<Code>([A-Za-z0-9.]{1,80})<\/Code>/.exec(text)?.[1]
}

const existsCodes: readonly (string | undefined)[] = [
  'BlobAlreadyExists',
  // Azure, of who may create and not overwrite.
  'UnauthorizedBlobOverwrite',
]

function outcomeOf(answer: Answer, doing: string): UploadOutcome {
  const { status, code } = answer
  if (status >= 200 && status < 300) return { kind: 'done' }
  if (status === 412 || existsCodes.includes(code)) return { kind: 'present' }
  const error = httpError(undefined, answer, doing)
  // Also of a clock: signed was the request by the gateway's.
  if (error.code === 'E_STORE_DENIED' || error.code === 'E_STORE_CLOCK') return { kind: 'refused', error }
  throw error
}
