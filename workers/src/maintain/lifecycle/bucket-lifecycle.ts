import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import {
  judgeRules,
  sameRules,
  type ForeignRule,
  type Judgement,
  type OwnRule,
  type RuleConflict,
  type RuleDialect,
} from '@strata/shared/lifecycle/judge.ts'
import type { LifecycleRule, Provider } from '@strata/shared/lifecycle/rules.ts'
import { lifecycleSettleMsMax, lifecycleSettleStepMs } from '@strata/shared/limits.ts'
import type { BucketRules, BucketState } from '@strata/shared/store/rules/bucket-rules.ts'

/**
 * The rules of one bucket: what they are, what they shall be, and the way there. Rules of others are written back as they
 * were read. Providers replace all rules at once, without a condition: so they are read twice before, and once more after.
 */
export interface BucketLifecycleParts<Rule> {
  readonly provider: Provider
  readonly rules: BucketRules<Rule>
  readonly dialect: (state: BucketState<Rule>) => RuleDialect<Rule>
  readonly wanted: (state: BucketState<Rule>) => readonly LifecycleRule[]
  /** Whose rules are compiled. */
  readonly tenant: string | undefined
  /** The provider takes no more. */
  readonly rulesMax: number
  /** Why the bucket must keep versions and locks; undefined: it need not. */
  readonly needsLocks: string | undefined
  readonly clock: Clock
}

export interface LifecycleReport {
  readonly provider: Provider | 'directory'
  /** Where; without credentials. */
  readonly bucket: string
  readonly versions: BucketState<unknown>['versions'] | null
  readonly rules: readonly OwnRule<unknown>[]
  readonly foreign: readonly ForeignRule<unknown>[]
  readonly conflicts: readonly RuleConflict<unknown>[]
}

export interface LifecycleOutcome {
  readonly report: LifecycleReport
  /** Why it was not done, or is not as it should be. */
  readonly problem: StrataError | undefined
}

/** What can be done with the rules of a store. */
export interface Lifecycle {
  /** Changes nothing. A problem: it could not be applied. */
  plan(): Promise<LifecycleOutcome>
  /** Makes the rules what they should be, unless there is a problem. */
  apply(): Promise<LifecycleOutcome>
  /** Changes nothing. A problem: the rules are not what they should be, or another one could do harm. */
  check(): Promise<LifecycleOutcome>
  close(): Promise<void>
}

interface Look<Rule> {
  readonly state: BucketState<Rule>
  readonly dialect: RuleDialect<Rule>
  readonly judgement: Judgement<Rule>
}

export class BucketLifecycle<Rule> implements Lifecycle {
  readonly #parts: BucketLifecycleParts<Rule>

  constructor(parts: BucketLifecycleParts<Rule>) {
    this.#parts = parts
  }

  async plan(): Promise<LifecycleOutcome> {
    const look = await this.#look()
    return this.#outcome(look, this.#obstacleTo(look))
  }

  async check(): Promise<LifecycleOutcome> {
    const look = await this.#look()
    return this.#outcome(look, this.#obstacleTo(look) ?? this.#driftOf(look))
  }

  async apply(): Promise<LifecycleOutcome> {
    const look = await this.#look()
    const obstacle = this.#obstacleTo(look)
    if (obstacle !== undefined) return this.#outcome(look, obstacle)
    const { state, dialect, judgement } = look
    if (sameRules(state.rules, judgement.next, dialect)) return this.#outcome(look, undefined)
    this.#requireKnown(state)
    const again = await this.#parts.rules.read()
    if (!sameRules(state.rules, again.rules, dialect)) throw this.#changed('between two looks at them')
    await this.#parts.rules.write(judgement.next, again)
    await this.#settled(look)
    return this.#outcome(await this.#look(), undefined)
  }

  async close(): Promise<void> {
    await this.#parts.rules.close()
  }

  async #look(): Promise<Look<Rule>> {
    const { rules, wanted, tenant } = this.#parts
    const state = await rules.read()
    const dialect = this.#parts.dialect(state)
    return { state, dialect, judgement: judgeRules(state.rules, wanted(state), dialect, tenant) }
  }

  /** Until the store shows what was written. S3 may show what was there before for a while. */
  async #settled({ state, dialect, judgement }: Look<Rule>): Promise<void> {
    const { clock, rules } = this.#parts
    const startedMs = clock.monotonicMs()
    for (;;) {
      const shown = await rules.read()
      if (sameRules(shown.rules, judgement.next, dialect)) return
      const isAsBefore = sameRules(shown.rules, state.rules, dialect)
      if (!isAsBefore) return await this.#notKept({ state, dialect, judgement }, shown)
      if (clock.monotonicMs() - startedMs > lifecycleSettleMsMax) throw this.#changed('and those before are back')
      await clock.sleep(lifecycleSettleStepMs)
    }
  }

  /**
   * Something else is there than was written. Where the rules of others are as they were, it was the store that left out
   * what it does not know: then a rule of ours may reach further than it should, so what was there before comes back.
   */
  async #notKept({ state, dialect, judgement }: Look<Rule>, shown: BucketState<Rule>): Promise<never> {
    const { rules, tenant } = this.#parts
    const left = judgeRules(shown.rules, [], dialect, tenant)
    const before = judgeRules(state.rules, [], dialect, tenant)
    const rulesOf = (judged: Judgement<Rule>): Rule[] => judged.foreign.map(({ rule }) => rule)
    if (!sameRules(rulesOf(left), rulesOf(before), dialect)) throw this.#changed('while they were written')
    const different = judgement.rules.filter(
      ({ rule }) => !shown.rules.some((other) => dialect.isSame(other, rule)) && judgement.next.includes(rule),
    )
    await rules.write(state.rules, shown)
    const names = different.map(({ name }) => name).join(', ')
    throw new StrataError(
      'E_LIFECYCLE_NOT_KEPT',
      `${rules.description} took the rules and kept others than were written: ${names}; those from before were put back`,
      { details: { rules: different.map(({ name }) => name) } },
    )
  }

  #obstacleTo({ state, judgement }: Look<Rule>): StrataError | undefined {
    const { needsLocks, rulesMax, rules } = this.#parts
    if (needsLocks !== undefined && (state.versions !== 'kept' || !state.locks)) {
      const lacks = state.versions === 'kept' ? 'no Object Lock' : 'no versioning'
      return new StrataError('E_STORE_UNVERSIONED', `${rules.description} has ${lacks}, and ${needsLocks}`)
    }
    const [first] = judgement.conflicts
    if (first !== undefined) return this.#conflict(judgement)
    if (judgement.next.length <= rulesMax) return undefined
    const count = `${String(judgement.next.length)} rules, and has room for ${String(rulesMax)}`
    return new StrataError('E_LIFECYCLE_IMPOSSIBLE', `${rules.description} would have ${count}`)
  }

  #conflict({ conflicts }: Judgement<Rule>): StrataError {
    const said = conflicts.map(({ name, could }) => `rule '${name}' could ${could.join('; ')}`)
    return new StrataError('E_LIFECYCLE_CONFLICT', `${this.#parts.rules.description}: ${said.join('. ')}`, {
      details: { rules: conflicts.map(({ name }) => name) },
    })
  }

  #driftOf({ judgement }: Look<Rule>): StrataError | undefined {
    const different = judgement.rules.filter(({ state }) => state !== 'as-wanted')
    if (different.length === 0) return undefined
    const said = different.map(
      ({ name, state, could }) => `${name} is ${state}${could.length === 0 ? '' : ` and could ${could.join('; ')}`}`,
    )
    return new StrataError('E_LIFECYCLE_DRIFT', `${this.#parts.rules.description}: ${said.join(', ')}`, {
      details: { rules: different.map(({ name }) => name) },
    })
  }

  #requireKnown({ unknownMembers }: BucketState<Rule>): void {
    if (unknownMembers.length === 0) return
    throw new StrataError(
      'E_LIFECYCLE_LOSSY',
      `rules of others in ${this.#parts.rules.description} have members that this program would lose: ${unknownMembers.join(', ')}`,
    )
  }

  #changed(when: string): StrataError {
    return new StrataError(
      'E_LIFECYCLE_CHANGED',
      `somebody has changed the rules of ${this.#parts.rules.description}, ${when}`,
    )
  }

  #outcome({ state, judgement }: Look<Rule>, problem: StrataError | undefined): LifecycleOutcome {
    const { provider, rules } = this.#parts
    const { rules: own, foreign, conflicts } = judgement
    return {
      report: { provider, bucket: rules.description, versions: state.versions, rules: own, foreign, conflicts },
      problem,
    }
  }
}
