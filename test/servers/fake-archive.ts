import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A FAKE of S3's archive classes: no server that can be run here has them. It stands in front of a real S3 server and
 * makes chosen objects look and behave as AWS documents it: their class and what became of a request to thaw are in
 * listings (the latter only where it was asked for), reading them is refused, and POST ?restore is checked to the member.
 * Everything else the real server answers.
 */
export interface FakeArchive {
  /** An origin. */
  readonly origin: string
  /** Keys that are archived, with what became of them. */
  readonly objects: Map<string, ArchivedObject>
  /** Requests to thaw, with the tier. */
  readonly asked: string[]
  stop(): Promise<void>
}

export interface ArchivedObject {
  readonly storageClass: 'GLACIER' | 'DEEP_ARCHIVE'
  state: 'frozen' | 'thawing' | 'thawed'
}

export async function startFakeArchive(behind: string, bucket: string): Promise<FakeArchive> {
  const objects = new Map<string, ArchivedObject>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', behind)
    const key = decodeURIComponent(url.pathname.slice(bucket.length + 2))
    const object = objects.get(key)
    if (request.method === 'POST' && url.searchParams.has('restore')) {
      void restore(request, response, object, (tier) => asked.push(tier))
    } else if (
      request.method === 'GET' &&
      object !== undefined &&
      object.state !== 'thawed' &&
      url.search.includes('GetObject')
    ) {
      refuse(response, 403, 'InvalidObjectState')
    } else {
      const rewrite = url.searchParams.has('list-type')
        ? (xml: string) => withClasses(xml, objects, request.headers['x-amz-optional-object-attributes'])
        : undefined
      forward(request, response, behind, rewrite)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${String(port)}`,
    objects,
    asked,
    stop: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      })
    },
  }
}

function refuse(response: ServerResponse, status: number, code: string): void {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`
  response.writeHead(status, { 'content-type': 'application/xml' }).end(body)
}

const restorePattern =
  /^(?:<\?xml[^>]*>)?\s*<RestoreRequest xmlns="[^"]+"><Days>(\d+)<\/Days><GlacierJobParameters><Tier>(Standard|Bulk|Expedited)<\/Tier><\/GlacierJobParameters><\/RestoreRequest>$/

async function restore(
  request: IncomingMessage,
  response: ServerResponse,
  object: ArchivedObject | undefined,
  onAsked: (tier: string) => void,
): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const [, days, tier = ''] = restorePattern.exec(Buffer.concat(parts).toString('utf8')) ?? []
  if (days === undefined || Number(days) < 1) {
    refuse(response, 400, 'MalformedXML')
  } else if (object === undefined) {
    refuse(response, 403, 'InvalidObjectState')
  } else if (object.storageClass === 'DEEP_ARCHIVE' && tier === 'Expedited') {
    refuse(response, 400, 'InvalidArgument')
  } else if (object.state === 'thawing') {
    refuse(response, 409, 'RestoreAlreadyInProgress')
  } else {
    onAsked(tier)
    const status = object.state === 'thawed' ? 200 : 202
    if (object.state === 'frozen') object.state = 'thawing'
    response.writeHead(status).end()
  }
}

/** A listing of the real server, with what it does not know. */
function withClasses(
  xml: string,
  objects: ReadonlyMap<string, ArchivedObject>,
  attributes: string | string[] | undefined,
): string {
  return xml.replaceAll(/<Contents>.*?<\/Contents>/gs, (contents) => {
    const key = decodeURIComponent(/<Key>(.*?)<\/Key>/.exec(contents)?.[1] ?? '')
    const object = objects.get(key)
    if (object === undefined) return contents
    const status = attributes === 'RestoreStatus' ? restoreStatusOf(object) : ''
    return contents
      .replace(/<StorageClass>.*?<\/StorageClass>/, `<StorageClass>${object.storageClass}</StorageClass>`)
      .replace('</Contents>', `${status}</Contents>`)
  })
}

function restoreStatusOf({ state }: ArchivedObject): string {
  if (state === 'frozen') return ''
  const until = '<RestoreExpiryDate>2099-01-01T00:00:00.000Z</RestoreExpiryDate>'
  const isThawing = state === 'thawing'
  const progress = `<IsRestoreInProgress>${String(isThawing)}</IsRestoreInProgress>`
  return `<RestoreStatus>${progress}${isThawing ? '' : until}</RestoreStatus>`
}

/** The headers go on as they are: a signature covers the Host that the client has named. */
function forward(
  request: IncomingMessage,
  response: ServerResponse,
  behind: string,
  rewrite: ((xml: string) => string) | undefined,
): void {
  const { hostname, port } = new URL(behind)
  const { method, headers, url: path } = request
  const onward = httpRequest({ hostname, port, method, path, headers })
  onward.once('response', (answer) => {
    if (rewrite === undefined) {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
      return
    }
    const parts: Buffer[] = []
    answer.on('data', (part: Buffer) => parts.push(part))
    answer.once('end', () => {
      const body = rewrite(Buffer.concat(parts).toString('utf8'))
      const { 'content-length': _, 'transfer-encoding': __, ...others } = answer.headers
      response.writeHead(answer.statusCode ?? 500, others).end(body)
    })
  })
  onward.on('error', () => request.socket.destroy())
  response.once('close', () => onward.destroy())
  request.pipe(onward)
}
