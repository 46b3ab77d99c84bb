import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readFile } from 'node:fs/promises'

/**
 * A FAKE of Azure Resource Manager, as far as the lifecycle rules of a storage account go: there is no server of it to run
 * here. It is strict: what the documentation does not allow is refused as ARM refuses it, and what it allows is answered
 * with the members that ARM adds. It has no clock of its own and deletes nothing.
 */
export interface FakeManagement {
  /** An origin. */
  readonly url: string
  /** The rules that are there, as they were written. */
  rules: readonly object[] | undefined
  isVersioningEnabled: boolean
  /** What the token that is sent may do; else it is refused. */
  readonly granted: Set<string>
  readonly seen: string[]
  stop(): Promise<void>
}

export interface FakeManagementOptions {
  readonly certPath: string
  readonly keyPath: string
  readonly token: string
  /** `/subscriptions/…/storageAccounts/…` */
  readonly account: string
}

const apiVersion = '2023-05-01'
const rulesMax = 100

interface Answer {
  readonly status: number
  readonly body: unknown
}

export async function startFakeManagement(options: FakeManagementOptions): Promise<FakeManagement> {
  const [cert, key] = [await readFile(options.certPath), await readFile(options.keyPath)]
  const server: Server = createServer({ cert, key }, (request, response) => {
    void answer(fake, options, request).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }, refuseConnection(response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const fake: FakeManagement = {
    url: `https://127.0.0.1:${String(port)}`,
    rules: undefined,
    isVersioningEnabled: false,
    granted: new Set(['managementPolicies/read', 'managementPolicies/write', 'blobServices/read']),
    seen: [],
    stop: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      })
    },
  }
  return fake
}

function refuseConnection(response: ServerResponse): () => void {
  return () => response.destroy()
}

async function answer(
  fake: FakeManagement,
  { token, account }: FakeManagementOptions,
  request: IncomingMessage,
): Promise<Answer> {
  const { method = '', headers } = request
  const url = new URL(request.url ?? '', fake.url)
  const resource = url.pathname.slice(account.length + 1)
  fake.seen.push(`${method} ${resource}`)
  const text = await bodyOf(request)
  if (headers.authorization !== `Bearer ${token}`) return refusal(401, 'AuthenticationFailed')
  if (url.searchParams.get('api-version') !== apiVersion) return refusal(400, 'InvalidApiVersionParameter')
  if (!url.pathname.startsWith(`${account}/`)) return refusal(404, 'ResourceNotFound')
  const right = `${resource.split('/')[0] ?? ''}/${method === 'GET' ? 'read' : method === 'PUT' ? 'write' : 'delete'}`
  if (!fake.granted.has(right)) return refusal(403, 'AuthorizationFailed')
  if (method === 'GET' && resource === 'blobServices/default') {
    return { status: 200, body: { properties: { isVersioningEnabled: fake.isVersioningEnabled } } }
  }
  if (resource !== 'managementPolicies/default') return refusal(404, 'ResourceNotFound')
  if (method === 'GET') {
    return fake.rules === undefined ? refusal(404, 'ManagementPolicyNotFound') : policyAnswer(fake.rules)
  }
  const wrong = headers['content-type'] === 'application/json' ? whyRefused(text) : 'UnsupportedMediaType'
  if (wrong !== undefined) return refusal(400, 'InvalidRequestPropertyValue', wrong)
  const { properties } = JSON.parse(text) as { properties: { policy: { rules: object[] } } }
  fake.rules = properties.policy.rules
  return policyAnswer(fake.rules)
}

function policyAnswer(rules: readonly object[]): Answer {
  const answered = rules.map((rule) => ({ enabled: true, ...rule }))
  const properties = { lastModifiedTime: '2026-06-01T00:00:00.0000000Z', policy: { rules: answered } }
  return { status: 200, body: { name: 'DefaultManagementPolicy', properties } }
}

function refusal(status: number, code: string, message = code): Answer {
  return { status, body: { error: { code, message } } }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}

interface GivenRule {
  readonly name?: unknown
  readonly type?: unknown
  readonly definition?: {
    readonly filters?: {
      readonly blobTypes?: unknown[]
      readonly prefixMatch?: unknown[]
      readonly blobIndexMatch?: { readonly op?: unknown }[]
    }
    readonly actions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  }
}

const actionNames = new Set([
  'tierToCool',
  'tierToCold',
  'tierToArchive',
  'tierToHot',
  'delete',
  'enableAutoTierToHotFromCool',
])

/** What the documentation does not allow; undefined: it is a policy. */
function whyRefused(text: string): string | undefined {
  const { properties } = JSON.parse(text) as { properties?: { policy?: { rules?: GivenRule[] } } }
  const rules = properties?.policy?.rules
  if (rules === undefined || rules.length === 0) return 'a policy has a rule'
  if (rules.length > rulesMax) return 'a policy has at most 100 rules'
  const names = rules.map(({ name }) => name)
  if (new Set(names).size !== names.length) return 'two rules have the same name'
  return rules.map(whyRuleRefused).find((why) => why !== undefined)
}

function whyRuleRefused({ name, type, definition }: GivenRule): string | undefined {
  if (typeof name !== 'string' || !/^[A-Za-z0-9]{1,256}$/.test(name)) return 'a name has letters and digits'
  if (type !== 'Lifecycle') return 'the type of a rule is Lifecycle'
  const { blobTypes = [], prefixMatch = [], blobIndexMatch = [] } = definition?.filters ?? {}
  if (blobTypes.length === 0) return 'filters have blobTypes'
  if (prefixMatch.length > 10 || blobIndexMatch.length > 10) return 'a filter has at most 10 values'
  if (!blobIndexMatch.every(({ op }) => op === '==')) return 'a tag is compared with =='
  const sets = Object.entries(definition?.actions ?? {})
  if (sets.length === 0) return 'a rule has an action'
  for (const [set, actions] of sets) {
    if (!['baseBlob', 'snapshot', 'version'].includes(set)) return `there are no actions for ${set}`
    if (Object.keys(actions).length === 0) return 'a set of actions has one'
    if (!Object.keys(actions).every((action) => actionNames.has(action))) return 'there is no such action'
  }
  return undefined
}
