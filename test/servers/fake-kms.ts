import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A fake of AWS KMS: what of its JSON protocol Strata uses, from its API reference, and strict about it. It is none of
 * Amazon's code and proves nothing about theirs; it shows that the real SDK asks for what we mean, and what Strata makes
 * of the answers. Ciphertexts are real: AES-256-GCM, with the encryption context as additional data.
 */
export class FakeKms implements AsyncDisposable {
  static readonly region = 'eu-central-1'
  readonly keyArn = `arn:aws:kms:${FakeKms.region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`
  readonly alias = 'alias/strata'
  /** What whoever asks may do. */
  readonly allowed = new Set<string>(['kms:Encrypt', 'kms:Decrypt'])
  /** The next answers, by name of the error. */
  readonly failures: string[] = []
  /** Operation and encryption context of every request. */
  readonly requests: { readonly operation: string; readonly context: unknown }[] = []
  readonly #server: Server
  readonly #secret = randomBytes(32)

  static async start(): Promise<FakeKms> {
    const fake = new FakeKms()
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve))
    return fake
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response)
    })
  }

  /** What a process has in its environment that uses it. */
  get env(): Readonly<Record<string, string>> {
    const { port } = this.#server.address() as AddressInfo
    return {
      AWS_ENDPOINT_URL_KMS: `http://127.0.0.1:${String(port)}`,
      AWS_REGION: FakeKms.region,
      AWS_ACCESS_KEY_ID: 'AKIAFAKE',
      AWS_SECRET_ACCESS_KEY: 'fake',
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer
    try {
      answer = this.#handle(request, Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)))
    } catch (error) {
      answer = failure('ValidationException', String(error))
    }
    response.writeHead(answer.status, { 'content-type': jsonType, 'x-amzn-requestid': randomBytes(8).toString('hex') })
    response.end(JSON.stringify(answer.body))
  }

  #handle({ method, url, headers }: IncomingMessage, body: Buffer): Answer {
    assert.deepEqual([method, url, headers['content-type']], ['POST', '/', jsonType])
    const scope = `/[0-9]{8}/${FakeKms.region}/kms/aws4_request`
    assert.match(headers.authorization ?? '', new RegExp(`^AWS4-HMAC-SHA256 Credential=AKIAFAKE${scope}, `))
    assert.match(headers['x-amz-date'] as string, /^[0-9]{8}T[0-9]{6}Z$/)
    const operation = /^TrentService\.(Encrypt|Decrypt)$/.exec(headers['x-amz-target'] as string)?.[1]
    assert.ok(operation !== undefined, 'X-Amz-Target')
    const members = JSON.parse(body.toString('utf8')) as Members
    this.requests.push({ operation, context: members.EncryptionContext })
    const planned = this.failures.shift()
    if (planned !== undefined) return failure(planned, `the fake was told to say ${planned}`)
    const permission = `kms:${operation}`
    if (!this.allowed.has(permission)) {
      const user = 'arn:aws:iam::111122223333:user/backup'
      return failure('AccessDeniedException', `User: ${user} is not authorized to perform: ${permission}`)
    }
    return operation === 'Encrypt' ? this.#encrypt(members) : this.#decrypt(members)
  }

  #encrypt(members: Members): Answer {
    requireMembers(members, ['EncryptionAlgorithm', 'EncryptionContext', 'KeyId', 'Plaintext'])
    if (![this.keyArn, this.alias, this.keyArn.split('/')[1]].includes(members.KeyId)) {
      return failure('NotFoundException', `Alias or key ${members.KeyId} is not found.`)
    }
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#secret, iv).setAAD(contextBytes(members.EncryptionContext))
    const sealed = Buffer.concat([cipher.update(base64(members.Plaintext)), cipher.final()])
    const CiphertextBlob = Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64')
    return { status: 200, body: { CiphertextBlob, EncryptionAlgorithm: algorithm, KeyId: this.keyArn } }
  }

  #decrypt(members: Members): Answer {
    requireMembers(members, ['CiphertextBlob', 'EncryptionAlgorithm', 'EncryptionContext', 'KeyId'])
    if (members.KeyId !== this.keyArn) return failure('NotFoundException', `Key '${members.KeyId}' does not exist`)
    const blob = base64(members.CiphertextBlob)
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#secret, blob.subarray(0, 12))
      decipher.setAAD(contextBytes(members.EncryptionContext)).setAuthTag(blob.subarray(12, 28))
      const plain = Buffer.concat([decipher.update(blob.subarray(28)), decipher.final()])
      const Plaintext = plain.toString('base64')
      return { status: 200, body: { EncryptionAlgorithm: algorithm, KeyId: this.keyArn, Plaintext } }
    } catch {
      return failure('InvalidCiphertextException', null)
    }
  }
}

interface Members {
  readonly KeyId: string
  readonly EncryptionAlgorithm: string
  readonly EncryptionContext: Readonly<Record<string, string>>
  readonly Plaintext: string
  readonly CiphertextBlob: string
}

interface Answer {
  readonly status: number
  readonly body: object
}

const jsonType = 'application/x-amz-json-1.1'
const algorithm = 'SYMMETRIC_DEFAULT'
const serverFaults = ['KMSInternalException', 'DependencyTimeoutException', 'KeyUnavailableException']

function failure(type: string, message: string | null): Answer {
  return { status: serverFaults.includes(type) ? 500 : 400, body: { __type: type, message } }
}

function requireMembers(members: Members, names: readonly string[]): void {
  assert.deepEqual(Object.keys(members).sort(), names)
  assert.equal(members.EncryptionAlgorithm, algorithm)
  for (const [name, value] of Object.entries(members.EncryptionContext)) assert.match(`${name}=${value}`, /^[ -~]+$/)
}

function base64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  assert.equal(bytes.toString('base64'), text)
  assert.ok(bytes.length > 0 && bytes.length <= 6144)
  return bytes
}

/** The order of its members does not count. */
function contextBytes(context: Readonly<Record<string, string>>): Buffer {
  return Buffer.from(JSON.stringify(Object.entries(context).sort()))
}
