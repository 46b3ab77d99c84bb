import type { Command } from '../measure.ts'

export const steps = ['full', 'rescan', 'restore', 'changed'] as const
/** What contestants are measured at, in this order: each step builds on those before it. */
export type Step = (typeof steps)[number]

export const stepTitles: Readonly<Record<Step, string>> = {
  full: 'full backup',
  rescan: 'unchanged, again',
  restore: 'restore',
  changed: 'about 2 % changed',
}

/** One way to do a step. */
export interface Way {
  readonly name: string
  readonly command: Command
}

export interface Contestant {
  readonly name: string
  /** Everything that it writes, to be counted as stored. */
  readonly repository: string
  /** A new, empty repository in place of what was there. */
  prepare(): Promise<void>
  /** Where a program has several ways, the fastest of the first repetition counts. */
  ways(step: Step): readonly Way[]
  /** Where the restored image lies after a way of `restore`. */
  readonly restoredPath: (restoreDirectory: string, way: string) => string
}

/** What all contestants are given. */
export interface Arena {
  readonly imagePath: string
  /** Each contestant has a folder of its own in it. */
  readonly directory: string
  /** Emptied before each restore. */
  readonly restoreDirectory: string
}
