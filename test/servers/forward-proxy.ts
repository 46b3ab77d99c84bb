import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** A proxy as companies have them between their machines and the world: for HTTP by whole URLs, for the rest by CONNECT. */
export interface ForwardProxy {
  /** With user and password. */
  readonly url: string
  readonly password: string
  /** What was let through: `PUT http://…`, `CONNECT host:port`. */
  readonly passed: readonly string[]
  /** How many requests had no right to pass. */
  readonly refusals: number
  stop(): Promise<void>
}

const user = 'branch-office'
const password = 'let-me-out-93'

export async function startForwardProxy(): Promise<ForwardProxy> {
  const passed: string[] = []
  let refusals = 0
  const expected = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const mayPass = (request: IncomingMessage): boolean => {
    const may = request.headers['proxy-authorization'] === expected
    if (may) passed.push(`${request.method ?? ''} ${request.url ?? ''}`)
    else refusals += 1
    return may
  }
  const server = createServer((request, response) => {
    if (mayPass(request)) forward(request, response)
    else response.writeHead(407, { 'proxy-authenticate': 'Basic realm="branch"' }).end()
  })
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    if (mayPass(request)) tunnel(request, client, head)
    else client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="branch"\r\n\r\n')
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${user}:${password}@127.0.0.1:${String(port)}`,
    password,
    passed,
    get refusals() {
      return refusals
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      })
    },
  }
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const { hostname, port, pathname, search } = new URL(request.url ?? '')
  const { 'proxy-authorization': _, 'proxy-connection': __, ...headers } = request.headers
  const onward = httpRequest({ hostname, port, method: request.method, path: pathname + search, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  onward.once('error', () => request.socket.destroy())
  request.pipe(onward)
}

function tunnel(request: IncomingMessage, client: Duplex, head: Buffer): void {
  const { hostname, port } = new URL(`http://${request.url ?? ''}`)
  const onward = connect(Number(port), hostname, () => {
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    onward.write(head)
    onward.pipe(client)
    client.pipe(onward)
  })
  onward.once('error', () => client.destroy())
  client.once('error', () => onward.destroy())
}
