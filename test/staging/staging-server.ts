import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { uploadFile, type UploadOptions, type UploadOutcome } from '@strata/agent/send/upload.ts'
import { systemClock, systemRandomBytes, type Clock } from '@strata/shared/clock.ts'
import { stagedName } from '@strata/shared/staging/names.ts'
import { openStaging, type OpenStagingOptions } from '@strata/shared/staging/open-staging.ts'
import type { StagedContent, StagingArea, UploadGrant } from '@strata/shared/staging/staging-area.ts'
import { httpAgents } from '@strata/shared/store/http-transfer.ts'
import { asId, type SessionId, type SetId, type TenantId } from '@strata/shared/types.ts'
import { impatientClock } from '../fixtures/impatient-clock.ts'
import type { StoreServer } from '../servers/store-server.ts'

/** A bucket for staging on a real server, and an agent's means to upload to it: files, connections, plain HTTP. */
export interface StagingServer {
  readonly server: StoreServer
  /** The staging area's. */
  readonly url: string
  open(options?: Partial<OpenStagingOptions>, url?: string): Promise<StagingArea>
  /** Opens it through a fault injector. @param parameters more of the URL's: `&checksums=when_required` */
  openBehind(origin: string, parameters?: string): Promise<StagingArea>
  /** A name that nobody has used, of one session, in ascending order. */
  newName(): string
  upload(grant: UploadGrant, bytes: Uint8Array, options?: Partial<UploadOptions>): Promise<UploadOutcome>
  stop(): Promise<void>
}

export const grantLifeMs = 5 * 60_000
/** With characters that a signature must spell as the URL does. */
export const stagingPrefix = 'up=load+s@here/deep'

export async function startStaging(server: StoreServer): Promise<StagingServer> {
  await server.createBucket('staging')
  const url = server.storeUrl('staging', stagingPrefix)
  const directory = await mkdtemp(join(tmpdir(), 'strata-uploads-'))
  const agents = httpAgents()
  const session = {
    tenant: asId<TenantId>('1'.repeat(32)),
    set: asId<SetId>('2'.repeat(32)),
    session: asId<SessionId>(randomBytes(16).toString('hex')),
  }
  const open = async (options: Partial<OpenStagingOptions> = {}, other = url): Promise<StagingArea> =>
    await openStaging(other, { env: server.env, clock: impatientClock(), randomBytes: systemRandomBytes, ...options })
  let names = 0
  let files = 0
  return {
    server,
    url,
    open,
    openBehind: async (origin, parameters = '') => {
      const behind = url.replace(encodeURIComponent(new URL(server.endpoint).origin), encodeURIComponent(origin))
      return await open({}, behind + parameters)
    },
    newName: () => stagedName({ ...session, segment: (names += 1), attempt: randomBytes(8).toString('hex') }),
    upload: async (grant, bytes, options = {}) => {
      const path = join(directory, String((files += 1)))
      await writeFile(path, bytes)
      return await uploadFile(grant, { path, bytes: bytes.byteLength }, { agents, ...options })
    },
    stop: async () => {
      agents.http.destroy()
      agents.https.destroy()
      await rm(directory, { recursive: true })
      await server.stop()
    },
  }
}

export function contentOf(bytes: Uint8Array): StagedContent {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest() }
}

/** The time is another one for whoever has it. */
export function shiftedClock(byMs: number): Clock {
  return { ...impatientClock(), nowMs: () => systemClock.nowMs() + byMs }
}

export interface PlainRequest {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

export interface PlainAnswer {
  readonly status: number
  readonly code: string | undefined
}

/** One request of exactly these headers, as somebody sends it who does not keep to anything. */
export async function sendPlain({ url, method = 'PUT', headers = {}, body }: PlainRequest): Promise<PlainAnswer> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers: { ...headers }, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('end', () => {
        const code = response.headers['x-ms-error-code'] ?? /<Code>(\w+)<\/Code>/.exec(text)?.[1]
        resolve({ status: response.statusCode ?? 0, code: code === undefined ? undefined : String(code) })
      })
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** A grant's headers but one. */
export function without(grant: UploadGrant, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(grant.headers).filter(([other]) => other !== name))
}

export function checksumOf(bytes: Uint8Array): string {
  return Buffer.from(contentOf(bytes).sha256).toString('base64')
}
