import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, privateDecrypt, publicEncrypt, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Certificate } from '../fixtures/certificates.ts'

/**
 * A fake of Azure Key Vault: what of its REST interface the SDK asks for when Strata wraps and unwraps, from its API
 * reference, and strict about it. It is none of Microsoft's code and proves nothing about theirs. Requests come over
 * TLS under the name of a vault, the first without a token, as the SDK's challenge flow has it; RSA is real.
 */
export class FakeKeyVault implements AsyncDisposable {
  static readonly host = 'strata-test.vault.azure.net'
  readonly keyUrl = `https://${FakeKeyVault.host}/keys/tenants/${'0123456789abcdef'.repeat(2)}`
  readonly token = randomBytes(16).toString('hex')
  /** What whoever asks may do. */
  readonly allowed = new Set<string>(['get', 'wrapKey', 'unwrapKey'])
  /** The next answers to operations, by HTTP status. */
  readonly failures: number[] = []
  /** Method, path and whether there was a token, of every request. */
  readonly requests: { readonly line: string; readonly authorized: boolean }[] = []
  isEnabled = true
  readonly #server: Server
  readonly #rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  readonly #authority: Buffer

  static async start(certificate: Certificate, authorityPath: string): Promise<FakeKeyVault> {
    const [cert, key, authority] = await Promise.all(
      [certificate.certPath, certificate.keyPath, authorityPath].map((path) => readFile(path)),
    )
    assert.ok(cert && key && authority)
    const fake = new FakeKeyVault({ cert, key }, authority)
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve))
    return fake
  }

  private constructor(tls: { readonly cert: Buffer; readonly key: Buffer }, authority: Buffer) {
    this.#authority = authority
    this.#server = createServer(tls, (request, response) => {
      void this.#answer(request, response)
    })
  }

  /** Connections to the vault's name that come here. */
  agent(): Agent {
    const agent = new Agent({ ca: this.#authority })
    const connect = agent.createConnection.bind(agent)
    const { port } = this.#server.address() as AddressInfo
    agent.createConnection = (options, callback) => {
      assert.equal(options.servername, FakeKeyVault.host)
      return connect({ ...options, host: '127.0.0.1', port }, callback)
    }
    return agent
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>))
    const { authorization } = request.headers
    const url = new URL(request.url ?? '/', `https://${FakeKeyVault.host}`)
    this.requests.push({ line: `${request.method ?? ''} ${url.pathname}`, authorized: authorization !== undefined })
    let answer: Answer
    try {
      answer = this.#handle(request, url, body)
    } catch (error) {
      answer = failure(400, 'BadParameter', String(error))
    }
    response.writeHead(answer.status, { 'content-type': 'application/json; charset=utf-8', ...answer.headers })
    response.end(JSON.stringify(answer.body))
  }

  #handle({ method, headers }: IncomingMessage, url: URL, body: Buffer): Answer {
    assert.equal(headers.host, FakeKeyVault.host)
    assert.match(url.searchParams.get('api-version') ?? '', /^(7\.[4-9]|2025-07-01)$/)
    if (headers.authorization !== `Bearer ${this.token}`) {
      const challenge = `Bearer authorization="https://login.windows.net/${'a'.repeat(8)}-tenant", resource="https://vault.azure.net"`
      return {
        ...failure(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'),
        headers: { 'www-authenticate': challenge },
      }
    }
    const planned = this.failures.shift()
    if (planned !== undefined) return failure(planned, 'Planned', `the fake was told to say ${String(planned)}`)
    const path = new URL(this.keyUrl).pathname
    if (!url.pathname.startsWith(path)) return failure(404, 'KeyNotFound', `A key with ${url.pathname} was not found`)
    const operation = url.pathname.slice(path.length)
    if (method === 'GET' && operation === '') return this.#allowed('get', () => this.#key())
    assert.equal(method, 'POST')
    assert.match(headers['content-type'] ?? '', /^application\/json/)
    const members = JSON.parse(body.toString('utf8')) as { alg: string; value: string }
    assert.deepEqual(Object.keys(members).sort(), ['alg', 'value'])
    assert.equal(members.alg, 'RSA-OAEP-256')
    assert.match(members.value, /^[A-Za-z0-9_-]+$/)
    const value = Buffer.from(members.value, 'base64url')
    if (operation === '/wrapkey') return this.#allowed('wrapKey', () => this.#result(publicEncrypt, value))
    assert.equal(operation, '/unwrapkey')
    return this.#allowed('unwrapKey', () => this.#result(privateDecrypt, value))
  }

  #allowed(operation: string, work: () => Answer): Answer {
    if (this.allowed.has(operation)) return work()
    const message = `The user, group or application 'appid=fake' does not have keys ${operation} permission on key vault`
    return failure(403, 'Forbidden', message, { code: 'AccessDenied' })
  }

  #key(): Answer {
    const { n, e } = this.#rsa.publicKey.export({ format: 'jwk' })
    const key = { kid: this.keyUrl, kty: 'RSA', key_ops: ['wrapKey', 'unwrapKey'], n, e }
    const attributes = { enabled: this.isEnabled, created: 1, updated: 1, recoveryLevel: 'Recoverable' }
    return { status: 200, body: { key, attributes, tags: {} } }
  }

  #result(work: typeof publicEncrypt | typeof privateDecrypt, value: Buffer): Answer {
    if (!this.isEnabled)
      return failure(403, 'Forbidden', 'Operation is not allowed on a disabled key.', { code: 'KeyDisabled' })
    const key = work === publicEncrypt ? this.#rsa.publicKey : this.#rsa.privateKey
    const made = work({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, value)
    return { status: 200, body: { kid: this.keyUrl, value: made.toString('base64url') } }
  }
}

interface Answer {
  readonly status: number
  readonly body: object
  readonly headers?: Readonly<Record<string, string>>
}

function failure(status: number, code: string, message: string, innererror?: { readonly code: string }): Answer {
  return { status, body: { error: { code, message, ...(innererror === undefined ? {} : { innererror }) } } }
}
