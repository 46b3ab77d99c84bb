import { durationText } from '@strata/shared/policy/duration.ts'
import type { Policy, PolicyDocument } from '@strata/shared/policy/policy.ts'
import type { Retention } from '@strata/shared/policy/retention-rules.ts'
import { formatBytes, formatCount } from './bytes.ts'

/** A policy as it is understood: what was written, and what holds where nothing was. */
export function understoodFacts(policy: Policy, document: PolicyDocument): [name: string, value: string][] {
  const { bytesPerSecondMax, retention, chain, verification, immutability, storageClass, copies, budget } = policy
  return [
    ['schedule', scheduleText(document)],
    ['hours', hoursTexts(document, policy).join('; ') || 'at any time'],
    ['bandwidth', bytesPerSecondMax === undefined ? 'as it goes' : `${formatBytes(bytesPerSecondMax)} a second`],
    ['retention', retentionText(retention)],
    ['undo window', durationText(retention.undoWindowMs)],
    [
      'chain',
      `a new one after ${formatCount(chain.pointsMax, 'point')}, ${durationText(chain.ageMsMax)}, or ${String(chain.deadPercentMax)} % that nothing needs`,
    ],
    ['verification', `all within ${formatCount(verification.everyDays, 'day')}`],
    [
      'immutability',
      immutability === undefined ? 'none' : `${immutability.mode}, ${formatCount(immutability.days, 'day')}`,
    ],
    [
      'storage class',
      storageClass.map((rule) => `${rule.class} after ${formatCount(rule.afterDays, 'day')}`).join(', ') ||
        'as the store has it',
    ],
    [
      'copies',
      copies.map(({ name, to, retention: there }) => `${name} to ${to}: ${retentionText(there)}`).join('; ') || 'none',
    ],
    [
      'budget',
      budget === undefined ? 'none' : `${String(budget.perMonth)} ${budget.currency ?? ''}`.trim() + ' a month',
    ],
  ]
}

/** The same for programs, in the form in which it is written. */
export function understoodDocument(policy: Policy, document: PolicyDocument): object {
  const {
    schedule,
    hours,
    bytesPerSecondMax,
    retention,
    chain,
    verification,
    immutability,
    storageClass,
    copies,
    budget,
  } = policy
  const written = document.hours ?? []
  return {
    schedule: {
      ...document.schedule,
      ...(schedule.kind === 'cron' ? { timeZone: schedule.timeZone } : {}),
      jitter: schedule.jitterMs === 0 ? null : durationText(schedule.jitterMs),
      missed: schedule.missed,
    },
    hours: written.map((window, index) => ({ ...window, timeZone: hours[index]?.timeZone })),
    bytesPerSecond: bytesPerSecondMax ?? null,
    retention: retentionDocument(retention),
    chain: { maxPoints: chain.pointsMax, maxAge: durationText(chain.ageMsMax), deadShare: chain.deadPercentMax },
    verification,
    immutability: immutability ?? null,
    storageClass,
    copies: copies.map(({ retention: there, ...copy }) => ({ ...copy, retention: retentionDocument(there) })),
    budget: budget === undefined ? null : { perMonth: budget.perMonth, currency: budget.currency ?? null },
  }
}

export function scheduleText({ schedule = {} }: PolicyDocument): string {
  const { cron, timeZone = 'UTC', every = '', anchor } = schedule
  if (cron !== undefined) return `${cron}, in ${timeZone}`
  return anchor === undefined ? `every ${every}` : `every ${every}, counted from ${anchor}`
}

/** Windows in which runs may begin; none: at any time. */
export function hoursTexts({ hours = [] }: PolicyDocument, policy: Policy): string[] {
  return hours.map(({ days = 'every day', from, to }, index) => {
    const shown = typeof days === 'string' ? days : days.join(', ')
    return `${shown} ${from} to ${to}, in ${policy.hours[index]?.timeZone ?? ''}`
  })
}

/** `last 3, daily 14, younger than 7d; in UTC` */
export function retentionText({ counts, minimumAgeMs, timeZone }: Retention): string {
  const rules = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([rule, count]) => `${rule} ${String(count)}`)
  const age = minimumAgeMs === 0 ? [] : [`younger than ${durationText(minimumAgeMs)}`]
  return `${[...rules, ...age].join(', ')}; in ${timeZone}`
}

export function retentionDocument({ counts, minimumAgeMs, timeZone, undoWindowMs }: Retention): object {
  const minimumAge = minimumAgeMs === 0 ? null : durationText(minimumAgeMs)
  return { ...counts, minimumAge, timeZone, undoWindow: durationText(undoWindowMs) }
}
