import { createServer, request as httpRequest } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
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

/**
 * @param behind origin of the real server, or of several that are as good as one another: each request goes to the next
 * of them, as a load balancer does. Without one every request must be spoiled.
 */
export async function startFaultInjector(behind: string | readonly string[] = []): Promise<FaultInjector> {
  const seen: SeenRequest[] = []
  const origins = typeof behind === 'string' ? [behind] : behind
  let plan: FaultPlan = () => undefined
  const server = createServer((request, response) => {
    const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers }
    const fault = plan(one, seen.length)
    seen.push(one)
    serve(request, response, fault, origins[seen.length % origins.length])
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

function serve(
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
  behind: string | undefined,
): void {
  switch (fault?.kind) {
    case 'answer':
      // The whole request is taken first: a client that still writes could miss the answer.
      request.resume().once('end', () => {
        response.writeHead(fault.status, fault.headers).end(request.method === 'HEAD' ? undefined : fault.body)
      })
      return
    case 'cut':
      request.socket.destroy()
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
        serve(request, response, undefined, behind)
      })
      return
    case 'lose-answer':
      forward(request, behind, (answer) => {
        answer.resume().once('end', () => request.socket.destroy())
      })
      return
    case 'cut-answer':
      forward(request, behind, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.once('data', (chunk: Buffer) => {
          response.write(chunk.subarray(0, chunk.byteLength / 2), () => request.socket.destroy())
        })
      })
      return
    case undefined:
      forward(request, behind, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
  }
}

/** The headers go on as they are: a signature covers the Host that the client has named. */
function forward(
  request: IncomingMessage,
  behind: string | undefined,
  answered: (answer: IncomingMessage) => void,
): void {
  if (behind === undefined) throw new Error(`nothing is behind the fault injector to answer ${String(request.url)}`)
  const { hostname, port } = new URL(behind)
  const { method, headers, url: path } = request
  const onward = httpRequest({ hostname, port, method, path, headers }, answered)
  onward.once('error', () => request.socket.destroy())
  request.pipe(onward)
}
