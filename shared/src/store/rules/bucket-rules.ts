/**
 * The rules by which a bucket deletes and moves objects by itself. Nothing of it is part of an ObjectStore: only whoever
 * sets a bucket up needs it, and other rights for it than for objects.
 *
 * Rules are written all at once, and no provider has a condition for it: who writes must have read just before.
 */
export interface BucketRules<Rule> {
  /** For messages. */
  readonly description: string

  /** E_STORE_DENIED names the permission that is missing. */
  read(): Promise<BucketState<Rule>>

  /** Replaces all rules. @param state what was read; its `kept` is written with the rules */
  write(rules: readonly Rule[], state: BucketState<Rule>): Promise<void>

  close(): Promise<void>
}

export interface BucketState<Rule> {
  readonly rules: readonly Rule[]
  /** Whether older versions of objects are kept; `suspended`: no more, but some may be there. */
  readonly versions: 'never' | 'kept' | 'suspended'
  /** Whether objects can be locked. */
  readonly locks: boolean
  /** Members of rules that are not known here, so that writing the rules again would lose them. */
  readonly unknownMembers: readonly string[]
  /** A setting beside the rules that goes with them. */
  readonly kept: string | undefined
}
