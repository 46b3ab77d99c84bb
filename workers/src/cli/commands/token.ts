import { StrataError } from '@strata/shared/errors.ts'
import type { EnrolmentTokenDocument } from '@strata/shared/format/enrolment-token.ts'
import { findEndpoint } from '@strata/shared/repository/registry/endpoints.ts'
import {
  countUses,
  createEnrolmentToken,
  findEnrolmentToken,
  revokeEnrolmentToken,
  type NewEnrolmentToken,
} from '@strata/shared/repository/registry/enrolment-tokens.ts'
import type { Registry } from '@strata/shared/repository/registry/registry.ts'
import { isUsable, type UnreadableDocument } from '@strata/shared/repository/registry/versioned.ts'
import { asId, type EndpointId } from '@strata/shared/types.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseCount } from '../input/count.ts'
import { parseDuration } from '../input/duration.ts'
import { parseNote } from '../input/note.ts'
import { formatCount, formatInstant, shownIdChars } from '../output/bytes.ts'
import { tableLines } from '../output/table.ts'
import { compareTexts, requireAllReadable, withRegistry } from '../registry.ts'

export interface TokenOptions {
  readonly tenant?: string
}

export interface TokenCreateOptions extends TokenOptions {
  readonly expires: string
  readonly uses: string
  readonly endpoint?: string
  readonly note?: string
}

type TokenState = 'open' | 'used up' | 'expired' | 'revoked'

/** `strata token create`: the token itself is the answer, alone on its line, so that a script can take it. */
export async function createToken(context: Context, options: TokenCreateOptions): Promise<ExitCode> {
  const lifeMs = parseDuration(options.expires, '--expires')
  const usesMax = parseCount(options.uses, '--uses')
  const note = parseNote(options.note ?? '')
  return await withRegistry(context, options.tenant, async (registry) => {
    const endpoint = options.endpoint === undefined ? null : await endpointToBindTo(registry, options.endpoint)
    const wanted: NewEnrolmentToken = { lifeMs, usesMax, endpoint, note }
    const { token, document } = await createEnrolmentToken(registry, wanted)
    const { createdAt, expiresAt } = document
    const text = token.text()
    context.reporter.result(
      { token: text, id: token.id, tenant: token.tenant, createdAt, expiresAt, usesMax, endpoint, note },
      [text],
    )
    const forWhat = endpoint === null ? formatCount(usesMax, 'machine') : `endpoint ${endpoint.slice(0, shownIdChars)}`
    context.reporter.note(`Good for ${forWhat} until ${formatInstant(expiresAt)}. It is not shown again.`)
    return exitCodes.success
  })
}

/** A token for one that is revoked would be worthless. */
async function endpointToBindTo(registry: Registry, reference: string): Promise<EndpointId> {
  const { id, document } = await findEndpoint(registry, reference)
  if (document.state === 'active') return asId<EndpointId>(id)
  throw new StrataError(
    document.state === 'revoked' ? 'E_ENDPOINT_REVOKED' : 'E_ENDPOINT_UNKNOWN',
    `endpoint ${id} ('${document.name}') is ${document.state}, and no token can be bound to it`,
  )
}

/** `strata token list`. */
export async function listTokens(context: Context, options: TokenOptions): Promise<ExitCode> {
  return await withRegistry(context, options.tenant, async (registry) => {
    const nowMs = await registry.repository.store.now()
    const uses = await countUses(registry)
    const tokens: ListedToken[] = []
    const unreadable: UnreadableDocument[] = []
    for await (const entry of registry.tokens.list()) {
      stopIfInterrupted(context.signal)
      if (isUsable(entry)) tokens.push(listedToken(entry.document, uses.get(entry.id) ?? 0, nowMs))
      else unreadable.push(entry)
    }
    tokens.sort((a, b) => compareTexts(a.createdAt, b.createdAt))
    context.reporter.result(tokens, tokens.length === 0 ? [] : tokenTable(tokens))
    if (tokens.length === 0 && unreadable.length === 0) context.reporter.note('There is no enrolment token yet.')
    requireAllReadable(context, 'enrolment token', unreadable)
    return exitCodes.success
  })
}

interface ListedToken {
  readonly id: string
  readonly state: TokenState
  readonly uses: number
  readonly usesMax: number
  readonly createdAt: string
  readonly expiresAt: string
  readonly endpoint: string | null
  readonly note: string
}

function listedToken(document: EnrolmentTokenDocument, uses: number, nowMs: number): ListedToken {
  const { token, usesMax, createdAt, expiresAt, endpoint, note } = document
  return { id: token, state: stateOf(document, uses, nowMs), uses, usesMax, createdAt, expiresAt, endpoint, note }
}

function stateOf({ revoked, usesMax, expiresAt }: EnrolmentTokenDocument, uses: number, nowMs: number): TokenState {
  if (revoked) return 'revoked'
  if (uses >= usesMax) return 'used up'
  return nowMs >= Date.parse(expiresAt) ? 'expired' : 'open'
}

function tokenTable(tokens: readonly ListedToken[]): string[] {
  const rows = tokens.map(({ id, state, uses, usesMax, expiresAt, endpoint, note }) => [
    id.slice(0, shownIdChars),
    state,
    `${String(uses)}/${String(usesMax)}`,
    formatInstant(expiresAt),
    endpoint === null ? 'new' : endpoint.slice(0, shownIdChars),
    note,
  ])
  return tableLines(
    [
      { title: 'TOKEN' },
      { title: 'STATE' },
      { title: 'USES', align: 'right' },
      { title: 'EXPIRES' },
      { title: 'ENDPOINT' },
      { title: 'NOTE' },
    ],
    rows,
  )
}

/** `strata token revoke`. */
export async function revokeToken(context: Context, reference: string, options: TokenOptions): Promise<ExitCode> {
  return await withRegistry(context, options.tenant, async (registry) => {
    const { id } = await revokeEnrolmentToken(registry, await findEnrolmentToken(registry, reference))
    context.reporter.result({ id, state: 'revoked' satisfies TokenState }, [`${id.slice(0, shownIdChars)} is revoked`])
    return exitCodes.success
  })
}
