import { describe, test } from 'node:test'
import { missingPrograms } from './processes.ts'

/** Something outside the repository that a suite cannot do without. */
export interface Requirement {
  /** As it is called in messages. */
  readonly name: string
  readonly programs: readonly string[]
  /** What to do to have it. */
  readonly remedy: string
  /** A condition besides the programs. */
  readonly isMet?: () => boolean
}

export const rootRequirement: Requirement = {
  name: 'root',
  programs: ['mount', 'umount'],
  remedy: 'run the tests as root',
  isMet: () => process.getuid?.() === 0,
}

/**
 * A suite that needs `requirement`. Where that is missing the suite is skipped under its name, saying why; with CI=true
 * it fails instead, so that a machine which should have everything cannot pass without it.
 */
export function describeWith(requirement: Requirement, title: string, suite: () => void): void {
  const reason = whyMissing(requirement)
  if (reason === undefined) {
    describe(title, suite)
  } else if (process.env['CI'] === 'true') {
    test(title, () => {
      throw new Error(`${reason} (with CI=true nothing is skipped)`)
    })
  } else {
    test(title, { skip: reason })
  }
}

function whyMissing(requirement: Requirement): string | undefined {
  const missing = missingPrograms(requirement.programs)
  const isMet = missing.length === 0 && (requirement.isMet?.() ?? true)
  if (isMet) return undefined
  const what = missing.length === 0 ? '' : ` (no ${missing.join(', ')})`
  return `needs ${requirement.name}${what}: ${requirement.remedy}`
}
