import { dayMs } from '../policy/wall-time.ts'

/** A day in UTC, as providers count them; the first one begins in its middle. */
export interface DayStep {
  readonly fromMs: number
  readonly untilMs: number
  /** `YYYY-MM` */
  readonly month: string
  /** Which part of its month it is. */
  readonly monthShare: number
}

/** The rest of the month of now, and so many whole ones after it. */
export function dayStepsFrom(nowMs: number, wholeMonths: number): DayStep[] {
  const now = new Date(nowMs)
  const endMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1 + wholeMonths)
  const steps: DayStep[] = []
  for (let fromMs = nowMs; fromMs < endMs; fromMs = endOfDay(fromMs)) {
    const untilMs = endOfDay(fromMs)
    const monthShare = (untilMs - fromMs) / monthMs(fromMs)
    steps.push({ fromMs, untilMs, month: monthOf(fromMs), monthShare })
  }
  return steps
}

export function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 'YYYY-MM'.length)
}

function endOfDay(ms: number): number {
  return (Math.floor(ms / dayMs) + 1) * dayMs
}

function monthMs(ms: number): number {
  const date = new Date(ms)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  return Date.UTC(year, month + 1) - Date.UTC(year, month)
}
