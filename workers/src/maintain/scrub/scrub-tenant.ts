import { StrataError } from '@strata/shared/errors.ts'
import { verifyEveryDaysDefault } from '@strata/shared/limits.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { latestPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { viewOf } from '@strata/shared/format/bytes.ts'
import type { SetId } from '@strata/shared/types.ts'
import { setsOf } from '../retention/prune-tenant.ts'
import { scrubSet, type ScrubOptions, type SetScrub } from './scrub-set.ts'

/** In how many days each object is read once, as the policy in force says; undefined: there is none. */
export async function verifyEveryDays(repository: Repository): Promise<number | undefined> {
  const stored = await latestPolicy(new Registry(repository))
  return stored === undefined ? undefined : readPolicy(stored.document.body).policy.verification.everyDays
}

/** A set that could not be scrubbed; others could. */
export interface UnscrubbedSet {
  readonly set: SetId
  readonly error: StrataError
}

export function isScrubbed(result: SetScrub | UnscrubbedSet): result is SetScrub {
  return 'coveredUntil' in result
}

/**
 * Scrubs all sets of a tenant, one after the other. Their order is another one each time: of two processes that begin at
 * the same moment each soon comes to sets that the other one has not done, and passes over those that it has.
 */
export async function* scrubTenant(
  options: Omit<ScrubOptions, 'set' | 'everyDays'> & { readonly everyDays: number | undefined },
): AsyncGenerator<SetScrub | UnscrubbedSet> {
  const { repository, signal, everyDays = verifyEveryDaysDefault } = options
  const sets = await Array.fromAsync(setsOf(repository))
  for (const set of shuffled(sets, repository)) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted; the next run goes on from here')
    try {
      const scrubbed = await scrubSet({ ...options, set, everyDays })
      if (scrubbed !== undefined) yield scrubbed
    } catch (error) {
      if (!(error instanceof StrataError) || !isAboutOneSet(error)) throw error
      yield { set, error }
    }
  }
}

/** Else it is the store's trouble, or ours: other sets would fare no better. */
function isAboutOneSet({ code, kind }: StrataError): boolean {
  return kind === 'permanent' && code !== 'E_INTERRUPTED' && !code.startsWith('E_STORE')
}

function shuffled<T>(items: readonly T[], repository: Repository): T[] {
  const keyed = items.map((item) => ({ item, key: viewOf(repository.random(4)).getUint32(0) }))
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
}
