import { createHash } from 'node:crypto'
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http'
import { createConnection, type Socket } from 'node:net'

/** Requests of exactly these parts, as somebody sends them who does not keep to anything. */
export interface PlainRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: Uint8Array
}

export interface PlainAnswer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly text: string
  readonly body: Buffer
  /** Of the error, where the answer is one. */
  readonly code: string | undefined
}

export async function sendPlain(
  address: string,
  { method, target, headers, body }: PlainRequest,
): Promise<PlainAnswer> {
  return await new Promise((resolve, reject) => {
    const { hostname, port } = new URL(address)
    const sent = { ...headers, ...(body === undefined ? {} : { 'content-length': body.length }), ...headers }
    const request = httpRequest({ hostname, port, path: target, method, headers: sent, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () => {
        const bytes = Buffer.concat(chunks)
        resolve(answerOf(response.statusCode ?? 0, response.headers, bytes))
      })
    })
    request.once('error', reject)
    request.end(body)
  })
}

function answerOf(status: number, headers: PlainAnswer['headers'], body: Buffer): PlainAnswer {
  const text = body.toString('utf8')
  return { status, headers, body, text, code: codeIn(text) }
}

function codeIn(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const { code } = (value ?? {}) as { code?: unknown }
    return typeof code === 'string' ? code : undefined
  } catch {
    // Events, digests or nothing: no error.
    return undefined
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** A connection on which bytes are written as they are. Resolves with all that came back when the other side ends it. */
export function rawConnection(address: string): { readonly socket: Socket; readonly ended: Promise<string> } {
  const { hostname, port } = new URL(address)
  const socket = createConnection({ host: hostname, port: Number(port) })
  const ended = new Promise<string>((resolve) => {
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
    // A reset is an end as well.
    socket.on('error', () => undefined)
    socket.once('close', () => {
      resolve(text)
    })
  })
  return { socket, ended }
}

/** Sends bytes as they are, and gives what came back. */
export async function sendRaw(address: string, bytes: string | Uint8Array): Promise<string> {
  const { socket, ended } = rawConnection(address)
  socket.write(bytes)
  return await ended
}
