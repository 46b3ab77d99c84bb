import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A fake of what Azurite lacks: a container of Azure Blob Storage with version-level immutability. It knows one container
 * and the requests that Strata makes, refuses whatever else it is asked, and checks no signature. What it checks is the
 * form of the requests as Azure's documentation of the REST interface has it: names of headers, parameters, values. No
 * server of Microsoft's has been asked: that these forms are right is read, and not tried.
 */
export interface FakeAzureVersions {
  readonly endpoint: string
  /** Requests since the last look, as `PUT name?comp=…` with the headers about locks. */
  taken(): string[]
  /** The right to set immutability policies and legal holds is taken away. */
  deny(): void
  stop(): Promise<void>
}

interface Version {
  readonly id: string
  readonly bytes: Buffer
  readonly modified: string
  lock?: { until: string; mode: string }
  legalHold?: boolean
  tags?: string
}

interface Blob {
  /** The oldest first. */
  readonly versions: Version[]
  isDeleted: boolean
}

const httpDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/
const container = 'locked'

export async function startFakeAzureVersions(): Promise<FakeAzureVersions> {
  const state = new State()
  const server = createServer((request, response) => {
    state.answer(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${String(port)}/account`,
    taken: () => state.seen.splice(0),
    deny: () => {
      state.isDenied = true
    },
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

class Refusal extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string) {
    super(code)
    this.status = status
    this.code = code
  }
}

class State {
  readonly seen: string[] = []
  isDenied = false
  readonly #blobs = new Map<string, Blob>()
  #versions = 0

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://fake')
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    response.setHeader('date', new Date().toUTCString())
    response.setHeader('x-ms-request-id', 'fake')
    try {
      this.#answer(request, url, Buffer.concat(chunks), response)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      response.setHeader('x-ms-error-code', error.code)
      response.setHeader('content-type', 'application/xml')
      response
        .writeHead(error.status)
        .end(request.method === 'HEAD' ? undefined : `<Error><Code>${error.code}</Code></Error>`)
    }
  }

  #answer({ method = '', headers }: IncomingMessage, url: URL, body: Buffer, response: ServerResponse): void {
    const [, account, bucket, ...rest] = decodeURIComponent(url.pathname).split('/')
    if (account !== 'account' || bucket !== container) throw new Refusal(404, 'ContainerNotFound')
    const name = rest.join('/')
    const comp = url.searchParams.get('comp')
    const version = url.searchParams.get('versionid') ?? undefined
    const about = Object.entries(headers).filter(([header]) => /immutability|legal-hold/.test(header))
    const told = about.map(([header, value]) => `${header}=${String(value)}`).sort()
    const asked = [comp ?? undefined, version === undefined ? undefined : 'version'].filter((one) => one !== undefined)
    if (name !== '') this.seen.push([`${method} ${name}`, ...asked, ...told].join(' '))
    if (name === '') this.#container(method, url, response)
    else if (comp === null) this.#blob(method, name, version, headers, body, response)
    else this.#property(`${method} ${comp}`, name, version, headers, body, response)
  }

  #container(method: string, { searchParams }: URL, response: ServerResponse): void {
    if (searchParams.get('comp') === null && method !== 'PUT') {
      response.setHeader('x-ms-immutable-storage-with-versioning-enabled', 'true')
      response.writeHead(200).end()
      return
    }
    if (searchParams.get('comp') !== 'list') throw new Refusal(400, 'InvalidQueryParameterValue')
    const prefix = searchParams.get('prefix') ?? ''
    const withVersions = searchParams.get('include') === 'versions'
    const delimiter = searchParams.get('delimiter')
    const prefixes = new Set<string>()
    const items: string[] = []
    for (const [name, { versions, isDeleted }] of [...this.#blobs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (!name.startsWith(prefix) || (isDeleted && !withVersions)) continue
      const slash = delimiter === null ? -1 : name.indexOf(delimiter, prefix.length)
      if (slash !== -1) prefixes.add(name.slice(0, slash + 1))
      else
        for (const one of withVersions ? versions : versions.slice(-1))
          items.push(itemOf(name, one, one === versions.at(-1) && !isDeleted))
    }
    const blobs = [...items, ...[...prefixes].map((one) => `<BlobPrefix><Name>${one}</Name></BlobPrefix>`)].join('')
    response.setHeader('content-type', 'application/xml')
    response
      .writeHead(200)
      .end(
        `<?xml version="1.0"?><EnumerationResults ContainerName="${container}"><Blobs>${blobs}</Blobs><NextMarker/></EnumerationResults>`,
      )
  }

  #blob(
    method: string,
    name: string,
    version: string | undefined,
    headers: IncomingMessage['headers'],
    body: Buffer,
    response: ServerResponse,
  ): void {
    if (method === 'PUT') {
      const blob = this.#blobs.get(name) ?? { versions: [], isDeleted: true }
      if (headers['if-none-match'] === '*' && !blob.isDeleted) throw new Refusal(409, 'BlobAlreadyExists')
      if (headers['x-ms-blob-type'] !== 'BlockBlob') throw new Refusal(400, 'InvalidHeaderValue')
      this.#versions += 1
      const id = `2026-01-01T00:00:00.${String(this.#versions).padStart(7, '0')}Z`
      const made: Version = { id, bytes: body, modified: new Date().toUTCString() }
      if (headers['x-ms-immutability-policy-until-date'] !== undefined) made.lock = this.#policyIn(headers)
      blob.versions.push(made)
      blob.isDeleted = false
      this.#blobs.set(name, blob)
      response.setHeader('x-ms-version-id', id)
      response.writeHead(201).end()
    } else if (method === 'DELETE') {
      const blob = this.#blobs.get(name)
      if (blob === undefined || (blob.isDeleted && version === undefined)) throw new Refusal(404, 'BlobNotFound')
      const found = this.#find(name, version)
      const isHeld = found.legalHold === true || (found.lock !== undefined && Date.parse(found.lock.until) > Date.now())
      if (version === undefined) blob.isDeleted = true
      else if (isHeld) throw new Refusal(409, 'BlobImmutableDueToPolicy')
      else blob.versions.splice(blob.versions.indexOf(found), 1)
      response.writeHead(202).end()
    } else this.#read(method, this.#find(name, version), headers, response)
  }

  #read(method: string, found: Version, headers: IncomingMessage['headers'], response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(String(headers['x-ms-range'] ?? ''))
    const [from, to] = range === null ? [0, found.bytes.length - 1] : [Number(range[1]), Number(range[2])]
    const bytes = found.bytes.subarray(from, to + 1)
    response.setHeader('last-modified', found.modified)
    response.setHeader('etag', `"${found.id}"`)
    response.setHeader('x-ms-version-id', found.id)
    response.setHeader('x-ms-blob-type', 'BlockBlob')
    response.setHeader('content-length', method === 'HEAD' ? found.bytes.length : bytes.length)
    if (found.lock !== undefined) {
      response.setHeader('x-ms-immutability-policy-until-date', found.lock.until)
      response.setHeader('x-ms-immutability-policy-mode', found.lock.mode.toLowerCase())
    }
    if (range !== null)
      response.setHeader('content-range', `bytes ${String(from)}-${String(to)}/${String(found.bytes.length)}`)
    response.writeHead(range === null ? 200 : 206).end(method === 'HEAD' ? undefined : bytes)
  }

  #property(
    asked: string,
    name: string,
    version: string | undefined,
    headers: IncomingMessage['headers'],
    body: Buffer,
    response: ServerResponse,
  ): void {
    const found = this.#find(name, version)
    switch (asked) {
      case 'PUT immutabilityPolicies': {
        if (this.isDenied) throw new Refusal(403, 'AuthorizationPermissionMismatch')
        const policy = this.#policyIn(headers)
        const isShorter = found.lock !== undefined && Date.parse(policy.until) < Date.parse(found.lock.until)
        if (isShorter && found.lock?.mode === 'Locked') throw new Refusal(409, 'BlobImmutableDueToPolicy')
        found.lock = policy
        break
      }
      case 'PUT legalhold': {
        if (this.isDenied) throw new Refusal(403, 'AuthorizationPermissionMismatch')
        const value = headers['x-ms-legal-hold']
        if (value !== 'true' && value !== 'false') throw new Refusal(400, 'InvalidHeaderValue')
        found.legalHold = value === 'true'
        break
      }
      case 'PUT tags':
        found.tags = body.toString()
        response.writeHead(204).end()
        return
      case 'GET tags':
        response.setHeader('content-type', 'application/xml')
        response.writeHead(200).end(found.tags ?? '<Tags><TagSet/></Tags>')
        return
      default:
        throw new Refusal(400, 'InvalidQueryParameterValue')
    }
    response.writeHead(200).end()
  }

  #policyIn(headers: IncomingMessage['headers']): { until: string; mode: string } {
    const until = String(headers['x-ms-immutability-policy-until-date'])
    const mode = String(headers['x-ms-immutability-policy-mode'])
    if (!httpDate.test(until) || Date.parse(until) <= Date.now()) throw new Refusal(400, 'InvalidHeaderValue')
    if (mode !== 'Locked' && mode !== 'Unlocked') throw new Refusal(400, 'InvalidHeaderValue')
    return { until, mode }
  }

  #find(name: string, version: string | undefined): Version {
    const blob = this.#blobs.get(name)
    const found =
      version === undefined
        ? blob?.isDeleted === false && blob.versions.at(-1)
        : blob?.versions.find(({ id }) => id === version)
    if (found === undefined || found === false) throw new Refusal(404, 'BlobNotFound')
    return found
  }
}

function itemOf(name: string, { id, bytes, modified }: Version, isCurrent: boolean): string {
  const properties = `<Last-Modified>${modified}</Last-Modified><Etag>0x1</Etag><Content-Length>${String(bytes.length)}</Content-Length><BlobType>BlockBlob</BlobType>`
  const current = isCurrent ? '<IsCurrentVersion>true</IsCurrentVersion>' : ''
  return `<Blob><Name>${name}</Name><VersionId>${id}</VersionId>${current}<Properties>${properties}</Properties></Blob>`
}
