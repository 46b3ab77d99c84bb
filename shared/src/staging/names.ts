import { invariant } from '../errors.ts'
import { segmentsPerSessionMax } from '../limits.ts'
import { asId, isId, type SessionId, type SetId, type TenantId } from '../types.ts'

/**
 * The layout of a staging area: `<tenant>/<set>/<session>/<segment>-<attempt>`. docs/staging.md, "Names". As in a
 * repository names hold opaque ids and numbers only, and what belongs to one tenant, set or session has one prefix.
 */
export interface StagedSession {
  readonly tenant: TenantId
  readonly set: SetId
  readonly session: SessionId
}

/** Every grant is for a name of its own, so what was staged under an earlier one is never in the way of it. */
export interface StagedSegment extends StagedSession {
  readonly segment: number
  /** 16 hex digits that the gateway draws at random. */
  readonly attempt: string
}

const segmentDigits = 8
invariant(segmentsPerSessionMax < 10 ** segmentDigits, 'eight digits hold every segment number')
const attemptPattern = /^[0-9a-f]{16}$/
const lastPartPattern = /^([0-9]{8})-([0-9a-f]{16})$/

export function stagedTenantPrefix(tenant: TenantId): string {
  return `${tenant}/`
}

export function stagedSessionPrefix({ tenant, set, session }: StagedSession): string {
  return `${stagedTenantPrefix(tenant)}${set}/${session}/`
}

export function stagedName(staged: StagedSegment): string {
  const { segment, attempt } = staged
  invariant(isSegment(segment), `${String(segment)} is the number of a segment`)
  invariant(attemptPattern.test(attempt), 'an attempt is 16 hex digits')
  return `${stagedSessionPrefix(staged)}${String(segment).padStart(segmentDigits, '0')}-${attempt}`
}

/** Reads a name back; undefined for whatever else may lie there. */
export function stagedSegmentOf(name: string): StagedSegment | undefined {
  const [tenant = '', set = '', session = '', last = '', ...more] = name.split('/')
  if (![tenant, set, session].every(isId) || more.length > 0) return undefined
  const [, digits = '', attempt = ''] = lastPartPattern.exec(last) ?? []
  const segment = Number(digits)
  if (attempt === '' || !isSegment(segment)) return undefined
  const ids = { tenant: asId<TenantId>(tenant), set: asId<SetId>(set), session: asId<SessionId>(session) }
  return { ...ids, segment, attempt }
}

function isSegment(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < segmentsPerSessionMax
}
