import { hasCode, StrataError } from '../../errors.ts'
import { registryAttemptsMax } from '../../limits.ts'

/**
 * Does `work` again from its beginning while others are faster at changing what it changes. Each time one of them has
 * come further, so that it is not for long.
 */
export async function whileOthersAreFaster<T>(work: () => Promise<T>): Promise<T> {
  let conflict: StrataError | undefined
  for (let attempt = 0; attempt < registryAttemptsMax; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (!hasCode(error, 'E_REGISTRY_CONFLICT')) throw error
      conflict = error
    }
  }
  throw conflict ?? new StrataError('E_BUG', 'at least one attempt')
}
