import { hasCode, StrataError } from '../errors.ts'
import { damageCodes } from './damage-codes.ts'

/** Whoever builds on a point that cannot be read has a way on that a reader does not have. */
const hint =
  'The point that this backup would build on cannot be read. See what strata verify says of it; --full starts a new chain, which needs nothing of it.'

/** `work`, which reads the base of a session: damage that it meets keeps its code and gets a hint of what to do. */
export async function readingBase<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (!isDamage(error)) throw error
    throw new StrataError(error.code, error.message, {
      cause: error,
      hint,
      ...(error.details === undefined ? {} : { details: error.details }),
    })
  }
}

/** What a newer program wrote is not damaged: its hint says to upgrade. */
function isDamage(error: unknown): error is StrataError {
  return hasCode(error, ...damageCodes, 'E_HISTORY_BROKEN')
}
