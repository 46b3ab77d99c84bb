import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { uploadFile, type UploadedFile, type UploadOptions, type UploadOutcome } from '@strata/agent/send/upload.ts'
import { isErrorCode, StrataError, type ErrorCode } from '@strata/shared/errors.ts'
import { uploadAnswerBytesMax } from '@strata/shared/limits.ts'
import type { UploadGrant } from '@strata/shared/staging/staging-area.ts'
import { httpAgents } from '@strata/shared/store/http-transfer.ts'
import { bytesOf } from '../conformance/store-helpers.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { startFaultInjector, type Fault, type FaultInjector } from '../servers/fault-injector.ts'
import { deadPort } from '../servers/processes.ts'
import { describeWith } from '../servers/require-server.ts'
import { contentOf, grantLifeMs, startStaging } from './staging-server.ts'

/** What an agent makes of the answers to its uploads, and of connections that fail. */

const secret = 'X-Amz-Signature=that-must-stay-secret'
const sizeBytes = 100_000
const MiB = 1024 ** 2

describe('an upload', () => {
  const agents = httpAgents()
  let injector: FaultInjector
  let directory: string
  let file: UploadedFile

  before(async () => {
    injector = await startFaultInjector()
    directory = await mkdtemp(join(tmpdir(), 'strata-uploads-'))
    file = await fileOf('segment', sizeBytes)
  })
  after(async () => {
    agents.http.destroy()
    await injector.stop()
    await rm(directory, { recursive: true })
  })

  const fileOf = async (name: string, bytes: number): Promise<UploadedFile> => {
    const path = join(directory, name)
    await writeFile(path, bytesOf(bytes))
    return { path, bytes }
  }
  const grantAt = (origin: string): UploadGrant => {
    const headers = { 'content-length': String(sizeBytes), 'if-none-match': '*' }
    return { method: 'PUT', url: `${origin}/bucket/name?${secret}`, headers, expiresAtMs: 0 }
  }
  const upload = async (options: Partial<UploadOptions> = {}, of = file): Promise<UploadOutcome> =>
    await uploadFile(grantAt(injector.origin), of, { agents, ...options })
  const failure = async (uploading: Promise<unknown>, code: ErrorCode): Promise<StrataError> => {
    const error = await uploading.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof StrataError, String(error))
    assert.equal(error.code, code, String(error))
    assertSilent(error)
    return error
  }

  const answers: readonly [Fault & { kind: 'answer' }, UploadOutcome['kind'] | ErrorCode][] = [
    [{ kind: 'answer', status: 200 }, 'done'],
    [{ kind: 'answer', status: 201, body: 'created' }, 'done'],
    [xml(412, 'PreconditionFailed'), 'present'],
    [{ kind: 'answer', status: 412 }, 'present'],
    [xml(409, 'BlobAlreadyExists'), 'present'],
    [{ kind: 'answer', status: 409, headers: { 'x-ms-error-code': 'BlobAlreadyExists' } }, 'present'],
    [{ kind: 'answer', status: 403, headers: { 'x-ms-error-code': 'UnauthorizedBlobOverwrite' } }, 'present'],
    [xml(403, 'AccessDenied'), 'refused'],
    [xml(403, 'SignatureDoesNotMatch'), 'refused'],
    [xml(403, 'RequestTimeTooSkewed'), 'refused'],
    [{ kind: 'answer', status: 403, headers: { 'x-ms-error-code': 'AuthenticationFailed' } }, 'refused'],
    [{ kind: 'answer', status: 403, body: '<html>a proxy says no</html>' }, 'refused'],
    [xml(400, 'ExpiredToken'), 'refused'],
    // Another upload of the same name is under way.
    [xml(409, 'ConditionalRequestConflict'), 'E_STORE_BUSY'],
    [xml(503, 'SlowDown'), 'E_STORE_BUSY'],
    [{ kind: 'answer', status: 429 }, 'E_STORE_BUSY'],
    [xml(500, 'InternalError'), 'E_STORE_UNREACHABLE'],
    [{ kind: 'answer', status: 502, body: '<html>bad gateway</html>' }, 'E_STORE_UNREACHABLE'],
    [xml(400, 'BadDigest'), 'E_STORE_UNREACHABLE'],
    [{ kind: 'answer', status: 400, headers: { 'x-ms-error-code': 'Md5Mismatch' } }, 'E_STORE_UNREACHABLE'],
    [xml(403, 'QuotaExceeded'), 'E_STORE_FULL'],
    [xml(404, 'NoSuchBucket'), 'E_STORE_MISSING'],
    [xml(307, 'TemporaryRedirect'), 'E_STORE_URL'],
    [xml(501, 'NotImplemented'), 'E_STORE_PROTOCOL'],
    [{ kind: 'answer', status: 302, headers: { location: 'http://elsewhere.example/' } }, 'E_STORE_PROTOCOL'],
  ]
  for (const [answer, expected] of answers) {
    const what = `${String(answer.status)} ${answer.body ?? JSON.stringify(answer.headers ?? {})}`
    test(`that is answered with ${what} is ${expected}`, async () => {
      injector.setPlan(() => answer)
      const uploading = upload()
      if (isErrorCode(expected)) {
        await failure(uploading, expected)
      } else {
        const outcome = await uploading
        assert.equal(outcome.kind, expected)
        if (outcome.kind === 'refused') assertSilent(outcome.error)
      }
    })
  }

  test('sends the headers of its grant, and how long it is', async () => {
    injector.setPlan(() => ({ kind: 'answer', status: 200 }))
    await upload()
    const [seen] = injector.seen
    assert.deepEqual([seen?.method, seen?.url], ['PUT', `/bucket/name?${secret}`])
    assert.deepEqual(
      [seen?.headers['content-length'], seen?.headers['if-none-match'], seen?.headers['transfer-encoding']],
      [String(sizeBytes), '*', undefined],
    )
    const names = Object.keys(seen?.headers ?? {}).sort()
    assert.deepEqual(names, ['connection', 'content-length', 'host', 'if-none-match'])
  })

  test('of which only the code is taken from what the store says', async () => {
    const body = `<Error><Code>AccessDenied</Code><StringToSign>${secret}</StringToSign></Error>`
    injector.setPlan(() => ({ kind: 'answer', status: 403, body }))
    const outcome = await upload()
    assert.ok(outcome.kind === 'refused')
    assert.match(outcome.error.message, /HTTP 403, AccessDenied/)
    assertSilent(outcome.error)
  })

  test('does not read an answer without end', async () => {
    const endless = await startServer((response) => {
      response.writeHead(403)
      const more = (): void => {
        while (response.write(Buffer.alloc(uploadAnswerBytesMax, 'x')));
        response.once('drain', more)
      }
      more()
    })
    const outcome = await uploadFile(grantAt(endless.origin), file, { agents })
    assert.equal(outcome.kind, 'refused')
    await endless.stop()
  })

  test('whose connection fails may be tried again', async () => {
    for (const kind of ['cut', 'hang'] as const) {
      injector.setPlan(() => ({ kind }))
      await failure(upload({ idleMs: 200 }), 'E_STORE_UNREACHABLE')
    }
    const nobody = grantAt(`http://127.0.0.1:${String(deadPort)}`)
    const refused = await failure(uploadFile(nobody, file, { agents }), 'E_STORE_UNREACHABLE')
    assert.match(refused.message, /ECONNREFUSED/)
    assert.equal(refused.kind, 'transient')
  })

  test('to what is no HTTP server is pointless', async () => {
    injector.setPlan(() => ({ kind: 'babble' }))
    await failure(upload(), 'E_STORE_PROTOCOL')
  })

  test('with a grant that is none says nothing of it', async () => {
    for (const url of [`bucket?${secret}`, `ftp://127.0.0.1/?${secret}`, `http://[${secret}`, '']) {
      await failure(uploadFile({ ...grantAt(''), url }, file, { agents }), 'E_STORE_PROTOCOL')
    }
  })

  test('that is refused early does not send the rest', async () => {
    const large = await fileOf('large', 64 * MiB)
    const early = await startServer((response) => {
      response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code></Error>')
    })
    const outcome = await uploadFile(grantAt(early.origin), large, { agents })
    assert.equal(outcome.kind, 'refused')
    await early.stop()
    assert.ok(early.received() < 32 * MiB, String(early.received()))
  })

  test('is ended by its signal, whose reason is thrown', async () => {
    const reason = new StrataError('E_INTERRUPTED', 'enough')
    await failure(upload({ signal: AbortSignal.abort(reason) }), 'E_INTERRUPTED')
    const stop = new AbortController()
    const slow = await startServer(() => {
      stop.abort(reason)
    })
    const uploading = uploadFile(grantAt(slow.origin), file, { agents, signal: stop.signal })
    assert.equal(await failure(uploading, 'E_INTERRUPTED'), reason)
    await slow.stop()
  })

  test('of a file that is gone, or is not as long as it should be, is not sent', async () => {
    injector.setPlan(() => ({ kind: 'answer', status: 200 }))
    const gone = { path: join(directory, 'gone'), bytes: sizeBytes }
    assert.match((await failure(upload({}, gone), 'E_HANDOVER_IO')).message, /ENOENT/)
    await failure(upload({}, { path: directory, bytes: sizeBytes }), 'E_HANDOVER_IO')
    for (const bytes of [sizeBytes - 1, sizeBytes + 1]) await failure(upload({}, { ...file, bytes }), 'E_HANDOVER_IO')
    assert.equal(injector.seen.length, 0)
  })

  test('leaves its connection to the next one', async () => {
    const server = await startServer((response, body) => {
      body.resume().once('end', () => response.writeHead(200).end())
    })
    for (let times = 0; times < 3; times += 1) {
      assert.equal((await uploadFile(grantAt(server.origin), file, { agents })).kind, 'done')
    }
    assert.equal(server.connections(), 1)
    await server.stop()
  })
})

describeWith(cephRgwRequirement, 'an upload whose answer is lost', () => {
  test('is there, which both the gateway and another attempt find out', async () => {
    const staging = await startStaging(await startCephRgw())
    const injector = await startFaultInjector(staging.server.endpoint)
    const area = await staging.openBehind(injector.origin)
    const [name, bytes] = [staging.newName(), bytesOf(sizeBytes)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    injector.setPlan((_, index) => (index === 0 ? { kind: 'lose-answer' } : undefined))
    await assert.rejects(staging.upload(grant, bytes), { code: 'E_STORE_UNREACHABLE' })
    assert.equal(await area.check(name, contentOf(bytes)), 'whole')
    assert.deepEqual(await staging.upload(grant, bytes), { kind: 'present' })
    await area.close()
    await injector.stop()
    await staging.stop()
  })
})

function xml(status: number, code: string): Fault & { kind: 'answer' } {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`
  return { kind: 'answer', status, headers: { 'content-type': 'application/xml' }, body }
}

function assertSilent(error: StrataError): void {
  const texts = [JSON.stringify(error), String(error.stack), JSON.stringify(error.cause ?? ''), String(error.cause)]
  for (const text of texts) assert.ok(!text.includes(secret), text)
}

interface OddServer {
  readonly origin: string
  /** Bytes that came over connections that have ended. */
  received(): number
  connections(): number
  stop(): Promise<void>
}

/** A server that answers as `serve` does, whatever of the request has arrived. */
async function startServer(serve: (response: ServerResponse, body: ServerResponse['req']) => void): Promise<OddServer> {
  let connections = 0
  let received = 0
  const server: Server = createServer((request, response) => {
    serve(response, request)
  })
  server.on('connection', (socket) => {
    connections += 1
    socket.once('close', () => (received += socket.bytesRead))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A test that fails leaves it as it is.
  server.unref()
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${String(port)}`,
    received: () => received,
    connections: () => connections,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
