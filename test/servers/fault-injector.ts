import { createServer, request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/**
 * A fault injector: an HTTP server on loopback that stands in front of a real one, or alone, and does to chosen
 * requests what networks and servers do on bad days. It is no store: what it does not spoil, the real server answers.
 */
export type Fault =
  /** Answers by itself; the real server never hears of it. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** Cuts the connection before the real server hears of the request. */
  | { readonly kind: 'cut' }
  /** Cuts both connections when half of the body has gone on. */
  | { readonly kind: 'cut-upload' }
  /** The real server does what it is asked; its answer is lost. */
  | { readonly kind: 'lose-answer' }
  /** The real server's answer breaks off in the middle of its body. */
  | { readonly kind: 'cut-answer' }
  /** Never answers. */
  | { readonly kind: 'hang' }
  /** The real server hears of it later. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown> }
  /** Says what is not HTTP. */
  | { readonly kind: 'babble' }

export interface SeenRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

/** Decides what to do to a request; undefined leaves it alone. `index` counts all requests from 0. */
export type FaultPlan = (request: SeenRequest, index: number) => Fault | undefined

export interface FaultInjector {
  /** An origin, without a path. */
  readonly origin: string
  readonly seen: readonly SeenRequest[]
  /** From now on. Also forgets what was seen, so that a plan counts from 0. */
  setPlan(plan: FaultPlan): void
  stop(): Promise<void>
}

/** Gives the origin of the server for the next request; undefined: there is none, and the connection is cut. */
export type Behind = () => string | undefined

/** @param behind origin of the real server; without one every request must be spoiled */
export async function startFaultInjector(behind?: string | Behind): Promise<FaultInjector> {
  const seen: SeenRequest[] = []
  let plan: FaultPlan = () => undefined
  const server = createServer((request, response) => {
    const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers }
    const fault = plan(one, seen.length)
    seen.push(one)
    serve({ request, response, behind }, fault)
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${String(port)}`,
    seen,
    setPlan: (next) => {
      seen.length = 0
      plan = next
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await closed(server)
    },
  }
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve()
    })
  })
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly behind: string | Behind | undefined
}

function serve({ request, response, behind }: Exchange, fault: Fault | undefined): void {
  const cut = (): void => {
    request.socket.destroy()
  }
  switch (fault?.kind) {
    case 'answer':
      // The whole request is taken first: a client that still writes could miss the answer.
      request.resume().once('end', () => {
        response.writeHead(fault.status, fault.headers).end(request.method === 'HEAD' ? undefined : fault.body)
      })
      return
    case 'cut':
      cut()
      return
    case 'cut-upload':
      cutInTheMiddle({ request, response, behind })
      return
    case 'hang':
      request.resume()
      return
    case 'babble':
      request.resume().once('end', () => {
        request.socket.end('SSH-2.0-OpenSSH_9.2p1\r\n')
      })
      return
    case 'hold':
      void fault.until.then(() => {
        serve({ request, response, behind }, undefined)
      })
      return
    case 'lose-answer':
      forward({ request, response, behind }, (answer) => {
        answer.resume().once('end', cut)
      })
      return
    case 'cut-answer':
      forward({ request, response, behind }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.once('data', (chunk: Buffer) => {
          response.write(chunk.subarray(0, chunk.byteLength / 2), cut)
        })
      })
      return
    case undefined:
      forward({ request, response, behind }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        // So that a stream of events begins before its first event.
        response.flushHeaders()
        answer.pipe(response)
      })
  }
}

function forward(exchange: Exchange, answered: (answer: IncomingMessage) => void): void {
  const onward = onwardOf(exchange)
  if (onward === undefined) return
  onward.once('response', (answer) => {
    // A server that dies in the middle of its answer leaves the client with half of it, and no end.
    answer.once('close', () => {
      if (!answer.complete) exchange.request.socket.destroy()
    })
    answered(answer)
  })
  exchange.request.pipe(onward)
}

function cutInTheMiddle(exchange: Exchange): void {
  const { request } = exchange
  const onward = onwardOf(exchange)
  if (onward === undefined) return
  const half = Math.floor(Number(request.headers['content-length'] ?? '0') / 2)
  let sent = 0
  const cut = (): void => {
    onward.destroy()
    request.socket.destroy()
  }
  onward.once('response', cut)
  request.on('data', (chunk: Buffer) => {
    const part = chunk.subarray(0, half - sent)
    sent += part.length
    if (part.length > 0) onward.write(part)
    if (sent >= half) cut()
  })
  request.once('end', cut)
}

/** The headers go on as they are: a signature covers the Host that the client has named. */
function onwardOf({ request, response, behind }: Exchange): ClientRequest | undefined {
  if (behind === undefined) throw new Error(`nothing is behind the fault injector to answer ${String(request.url)}`)
  const origin = typeof behind === 'string' ? behind : behind()
  if (origin === undefined) {
    request.socket.destroy()
    return undefined
  }
  const { hostname, port } = new URL(origin)
  const { method, headers, url: path } = request
  const onward = httpRequest({ hostname, port, method, path, headers })
  onward.on('error', () => request.socket.destroy())
  // A client that has gone is gone for the server as well.
  response.once('close', () => onward.destroy())
  return onward
}
