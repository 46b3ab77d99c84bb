import { durationText } from '@strata/shared/policy/duration.ts'
import type { Retention } from '@strata/shared/policy/retention-rules.ts'
import type { Reason, RetentionDecision } from '@strata/shared/policy/retention.ts'
import type { SetPoints } from '../../maintain/retention/set-points.ts'
import { formatCount, formatInstantIn, shownIdChars } from './bytes.ts'
import { retentionDocument, retentionText } from './policy-members.ts'
import { factLines, tableLines } from './table.ts'

/** Why the points of a set are kept or go, and when. */
export interface ExplainedSet extends Pick<SetPoints, 'unreadable' | 'voids'> {
  readonly set: string
  /** Version of the policy in force; undefined: there is none, and the defaults hold. */
  readonly version: number | undefined
  readonly schedule: string
  readonly retention: Retention
  /** By the store's clock. */
  readonly nowMs: number
  readonly decisions: readonly RetentionDecision<SetPoints['points'][number]>[]
}

export function explainedSetLines(explained: ExplainedSet): string[] {
  const { set, version, schedule, retention, decisions, unreadable, voids } = explained
  const kept = decisions.filter(({ keep }) => keep).length
  const facts = factLines([
    ['set', set],
    ['policy', version === undefined ? 'none yet; this is what holds without one' : `version ${String(version)}`],
    ['schedule', schedule],
    ['retention', retentionText(retention)],
    ['undo window', `${durationText(retention.undoWindowMs)} from the mark on a point to the end of its data`],
    ['points', `${String(kept)} of ${formatCount(decisions.length, 'point')} kept, ${goText(decisions.length - kept)}`],
    ...(unreadable.length === 0
      ? []
      : [['unreadable', `${numbersText(unreadable.map(({ sequence }) => sequence))}; kept`] as const]),
    ...(voids.length === 0 ? [] : [['voids', `${numbersText(voids)}; numbers without a point`] as const]),
  ])
  const rows = decisions.map(({ point, keep, reasons, expiresAtMs }) => [
    point.id.slice(0, shownIdChars),
    String(point.sequence),
    minuteText(retention.timeZone, point.momentMs),
    keep ? 'kept' : 'goes',
    keep ? untilText(retention.timeZone, expiresAtMs) : 'now',
    reasons.map((reason) => reasonText(reason, retention)).join(', '),
  ])
  if (rows.length === 0) return facts
  return [
    ...facts,
    '',
    ...tableLines(
      [
        { title: 'POINT' },
        { title: 'NUMBER', align: 'right' },
        { title: `WHEN IN ${retention.timeZone}` },
        { title: 'STATE' },
        { title: 'UNTIL' },
        { title: 'WHY' },
      ],
      rows,
    ),
  ]
}

function goText(count: number): string {
  return count === 1 ? '1 goes' : `${String(count)} go`
}

function numbersText(numbers: readonly number[]): string {
  const more = numbers.length > numbersShown ? ` and ${String(numbers.length - numbersShown)} more` : ''
  return numbers.slice(0, numbersShown).join(', ') + more
}

const numbersShown = 10

function untilText(zone: string, ms: number | null): string {
  return ms === null ? 'no end' : minuteText(zone, ms)
}

/** `2026-10-25 02:00 +02:00`: seconds say nothing here. */
function minuteText(zone: string, ms: number): string {
  return formatInstantIn(zone, ms).replace(/:[0-9]{2} (?=[+-])/, ' ')
}

function reasonText(reason: Reason, { timeZone, minimumAgeMs }: Retention): string {
  switch (reason.kind) {
    case 'newest':
      return 'newest'
    case 'newestComplete':
      return 'newest that is one moment of the machine'
    case 'last':
      return `last ${String(reason.number)} of ${String(reason.of)}`
    case 'minimumAge':
      return `younger than ${durationText(minimumAgeMs)}`
    case 'locked':
      return `locked until ${minuteText(timeZone, reason.untilMs)}`
    case 'held':
      return `${reason.all ? 'the set is held' : 'held'}${reason.note === '' ? '' : `: ${reason.note}`}`
    case 'future':
      return "made after now, by the store's clock"
    case 'noRule':
      return 'no rule keeps it'
    case 'copied':
      return `number ${String(reason.sequence)} is a copy of it`
    default:
      return `${reason.kind} ${String(reason.number)} of ${String(reason.of)} (${reason.bucket})`
  }
}

/** The same for programs. */
export function explainedSetDocument(explained: ExplainedSet): object {
  const { set, version, schedule, retention, nowMs, decisions, unreadable, voids } = explained
  return {
    set,
    policy: version === undefined ? null : { version },
    schedule,
    retention: retentionDocument(retention),
    now: new Date(nowMs).toISOString(),
    points: decisions.map(({ point, keep, reasons, expiresAtMs }) => ({
      point: point.id,
      sequence: point.sequence,
      createdAt: point.createdAt,
      keep,
      reasons: reasons.map((reason) => reasonDocument(reason, retention)),
      expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
    })),
    unreadable: unreadable.map(({ sequence, error: { code, message } }) => ({
      sequence,
      keep: true,
      reasons: [{ kind: 'unreadable', text: `cannot be read: ${code}` }],
      expiresAt: null,
      code,
      message,
    })),
    voids,
  }
}

function reasonDocument(reason: Reason, retention: Retention): object {
  const text = reasonText(reason, retention)
  if (!('untilMs' in reason)) return { ...reason, text }
  return { kind: reason.kind, until: new Date(reason.untilMs).toISOString(), text }
}
