import type { Clock } from '@strata/shared/clock.ts'
import { progressLineIntervalMs, progressRedrawIntervalMs } from '@strata/shared/limits.ts'
import { formatBytes, formatDuration, formatPercent, formatRate } from './bytes.ts'
import { displayWidth, fitted, printable } from './printable.ts'

/** How far something has come. */
export interface ProgressState {
  readonly doneBytes: number
  /** 0 while it is not known. */
  readonly totalBytes: number
  /** A few words on what is being done right now, where there is more than one thing. */
  readonly detail?: string | undefined
}

export interface Progress {
  update(state: ProgressState): void
  /** Takes the bar off the terminal. Harmless when called again. */
  end(): void
}

/** Where progress is shown; a bar is drawn over itself, a line is written once. */
export interface ProgressTarget {
  draw(line: string): void
  line(text: string): void
  clear(): void
  /** Columns of the terminal right now, or undefined where there is none. */
  columns(): number | undefined
}

export const noProgress: Progress = { update: () => undefined, end: () => undefined }

/**
 * A bar on a terminal, redrawn a few times a second; elsewhere a plain line every few seconds, as a log wants it. Both
 * only when `update` is called: nothing here keeps a process alive.
 */
export function startProgress(label: string, target: ProgressTarget, clock: Clock): Progress {
  const rate = new RecentRate(clock)
  const startedMs = clock.monotonicMs()
  let shownMs = Number.NEGATIVE_INFINITY
  let ended = false
  return {
    update: (state) => {
      if (ended) return
      rate.add(state.doneBytes)
      const columns = target.columns()
      const nowMs = clock.monotonicMs()
      if (columns === undefined) {
        // What is over before the first interval needs no lines of progress.
        const lastMs = Math.max(shownMs, startedMs)
        if (nowMs - lastMs < progressLineIntervalMs) return
        target.line(plainLine(label, state, rate.bytesPerSecond))
      } else {
        if (nowMs - shownMs < progressRedrawIntervalMs) return
        target.draw(barLine(label, state, rate.bytesPerSecond, columns))
      }
      shownMs = nowMs
    },
    end: () => {
      if (!ended) target.clear()
      ended = true
    },
  }
}

/** Rate over the last seconds: what is left will rather go like these than like the beginning. */
class RecentRate {
  readonly #clock: Clock
  #lastMs: number | undefined
  #lastBytes = 0
  bytesPerSecond = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(bytes: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (this.#lastMs === undefined) {
      this.#lastMs = nowMs
      this.#lastBytes = bytes
      return
    }
    const elapsedMs = nowMs - this.#lastMs
    if (elapsedMs < progressRedrawIntervalMs) return
    const current = (Math.max(0, bytes - this.#lastBytes) / elapsedMs) * 1000
    const weight = this.bytesPerSecond === 0 ? 1 : 1 - Math.exp(-elapsedMs / progressLineIntervalMs)
    this.bytesPerSecond += (current - this.bytesPerSecond) * weight
    this.#lastMs = nowMs
    this.#lastBytes = bytes
  }
}

const barColumnsMin = 10
const barColumnsMax = 40
const separator = '  '

/** One line of at most `columns` − 1: a full last column would make some terminals wrap. */
export function barLine(label: string, state: ProgressState, bytesPerSecond: number, columns: number): string {
  const room = columns - 1
  const name = printable(label)
  const facts = factsOf(state, bytesPerSecond)
  if (state.totalBytes <= 0) return fitted([name, ...facts].join(separator), room)
  const percent = formatPercent(state.doneBytes, state.totalBytes).padStart('100 %'.length)
  // The least important facts go first when there is not room for all.
  for (let count = facts.length; count >= 0; count -= 1) {
    const rest = [percent, ...facts.slice(0, count)].join(separator)
    const bar = room - displayWidth(name) - displayWidth(rest) - 2 * separator.length
    if (bar >= barColumnsMin) {
      const drawn = barOf(state.doneBytes / state.totalBytes, Math.min(bar, barColumnsMax))
      return [name, drawn, rest].join(separator)
    }
  }
  return fitted([name, percent].join(separator), room)
}

export function plainLine(label: string, state: ProgressState, bytesPerSecond: number): string {
  const [amount = '', ...others] = factsOf(state, bytesPerSecond)
  const start = state.totalBytes > 0 ? `${formatPercent(state.doneBytes, state.totalBytes)} (${amount})` : amount
  return printable(`${label}: ${[start, ...others].join(', ')}`)
}

/** Most important first. */
function factsOf({ doneBytes, totalBytes, detail }: ProgressState, bytesPerSecond: number): string[] {
  const facts = [totalBytes > 0 ? `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}` : formatBytes(doneBytes)]
  if (bytesPerSecond > 0) {
    facts.push(formatRate(bytesPerSecond, 1000))
    if (totalBytes > doneBytes) facts.push(`${formatDuration(((totalBytes - doneBytes) / bytesPerSecond) * 1000)} left`)
  }
  if (detail !== undefined) facts.push(printable(detail))
  return facts
}

function barOf(part: number, columns: number): string {
  const filled = Math.min(columns, Math.max(0, Math.floor(part * columns)))
  return '█'.repeat(filled) + '░'.repeat(columns - filled)
}
