import type { IncomingMessage } from 'node:http'
import { StrataError } from '@strata/shared/errors.ts'
import { storeRequestTimeoutMs, uploadAnswerBytesMax } from '@strata/shared/limits.ts'
import type { UploadGrant } from '@strata/shared/staging/staging-area.ts'
import { httpError } from '@strata/shared/store/http-errors.ts'
import { withIdleLimit, type HttpAgents } from '@strata/shared/store/http-transfer.ts'
import { exchange } from '../http/exchange.ts'
import { filePieces } from '../http/file-pieces.ts'

/**
 * Puts a sealed segment where a grant says, over plain HTTP: the agent needs no SDK and has no credentials.
 *
 * One attempt; nothing is tried twice here. Whatever comes out but `done`, the gateway looks whether the segment is
 * there before it gives another grant: an answer may have been lost, and some stores say 403 where an object exists.
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
  const { signal, agents, idleMs = storeRequestTimeoutMs } = options
  // The length is that of the file, whatever was signed: if they differ the store refuses it.
  const headers = { ...grant.headers, 'content-length': String(file.bytes) }
  try {
    const answer = await withIdleLimit(idleMs, async (idle, progress) => {
      const either = signal === undefined ? idle : AbortSignal.any([idle, signal])
      const body = filePieces(file, progress)
      return await exchange({ url, method: grant.method, headers, body, agents, signal: either }, async (response) =>
        readAnswer(response, progress),
      )
    })
    return outcomeOf(answer, doing)
  } catch (error) {
    signal?.throwIfAborted()
    throw httpError(error, { status: undefined, code: undefined, requestId: undefined }, doing)
  }
}

/** What `URL` throws would quote the whole of it. */
function urlOf(grant: UploadGrant): URL {
  const url = URL.canParse(grant.url) ? new URL(grant.url) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw new StrataError('E_STORE_PROTOCOL', 'a grant for an upload does not say where to send it')
}

// ── the answer ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Answer {
  readonly status: number
  /** The store's name for the error. */
  readonly code: string | undefined
  readonly requestId: string | undefined
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
