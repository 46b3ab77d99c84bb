/** Every age in the lifecycle rules, in days. S3 counts from an object's creation, or from when a version was replaced. */
export const lifecycleDays = {
  incompleteUpload: 7,
  /**
   * Prune waits out the undo window before it tags, and nearly everything it tags is older than this: so in practice
   * a tagged object goes at the next run of the bucket's lifecycle.
   */
  retired: 1,
  /** Expiry of a current version only hides it; this is how long the hidden one can still be brought back. */
  retiredNoncurrent: 7,
  /** Longer than any session lives. */
  staging: 14,
  accessLog: 90,
} as const

/** Set by the deletion role alone, on objects that no kept or pinned point needs. */
export const retiredTag = { 'strata-state': 'retired' } as const

/**
 * What `strata lifecycle` compiles for a store at the top of its bucket, names and all, so that it finds its rules there
 * and has nothing to mend. A test (test/infra) compares the two.
 */
export const ruleIdStart = 'strata-e3b0c44298fc-'
export const tenantsPrefix = 'tenants/'
